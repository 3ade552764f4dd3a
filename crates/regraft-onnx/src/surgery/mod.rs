//! Changes to a file: another head, another image size, trained values. A graph says where, the file's own nodes and
//! initializers are what changes.

pub mod head;
mod output;
mod resize;
pub mod write;
