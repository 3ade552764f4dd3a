//! What a graph's structure tells: its blocks, where its head begins, what it gives out, and which pixels it wants.

pub(crate) mod blocks;
pub(crate) mod head;
pub(crate) mod output;
pub(crate) mod pixels;
