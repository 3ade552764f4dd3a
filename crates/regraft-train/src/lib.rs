//! regraft-train
