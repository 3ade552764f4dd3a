//! What a graph's structure tells: its blocks, and where its head begins.

pub(crate) mod blocks;
pub(crate) mod head;
