//! Writes untrained networks into a folder: `write FOLDER [--classes N] [--size S] [--width W] [NAME …]`, all where none is
//! named.

use std::error::Error;
use std::path::PathBuf;

use regraft_arch::{Architecture, Classes, Spec, build};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let (mut classes, mut size, mut width, mut chosen) = (1000, None, 1.0, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().ok_or(format!("{argument} needs a number"));
        match argument.as_str() {
            "--classes" => classes = number()?.parse()?,
            "--size" => size = Some(number()?.parse()?),
            "--width" => width = number()?.parse()?,
            name => chosen.push(name.parse()?),
        }
    }
    if chosen.is_empty() {
        chosen.extend(Architecture::all());
    }
    std::fs::create_dir_all(&folder)?;
    for architecture in chosen {
        let mut spec = Spec::new(architecture, Classes::Count(classes));
        spec.size = size.unwrap_or(spec.size);
        spec.width = width;
        let path = folder.join(format!("{architecture}.onnx"));
        std::fs::write(&path, build(&spec)?.to_bytes()?)?;
        println!("{}", path.display());
    }
    Ok(())
}
