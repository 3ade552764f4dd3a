//! regraft
