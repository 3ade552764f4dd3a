//! regraft-backend
