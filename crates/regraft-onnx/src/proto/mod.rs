//! The format's messages: their bytes checked, their nodes, attributes and tensors read and made. Of a file as a whole
//! nothing is known here.

pub(crate) mod attributes;
pub(crate) mod element;
pub(crate) mod nodes;
pub(crate) mod tensor;
pub(crate) mod weights;
pub(crate) mod wire;
