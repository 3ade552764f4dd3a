//! regraft-backend-ndarray
