//! regraft-cli
