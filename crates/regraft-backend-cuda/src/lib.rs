//! regraft-backend-cuda
