//! A network as data. Nothing here knows how a graph is read from a file, or how its blocks and its head are found.

pub(crate) mod block;
pub(crate) mod dim;
pub(crate) mod graph;
pub(crate) mod ids;
pub mod op;
pub(crate) mod output;
pub(crate) mod parameter;
pub(crate) mod site;
pub(crate) mod value;
