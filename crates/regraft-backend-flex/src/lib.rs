//! regraft-backend-flex
