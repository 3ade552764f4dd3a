//! The instruction sets a kernel comes in, and the one place where a value ([`Isa`]) becomes a type.

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// 16 lanes, 32 registers.
    Avx512,
    /// 8 lanes, fused multiply-add, 16 registers.
    Avx2,
    /// Plain Rust in arrays of 8, right everywhere.
    Portable,
    /// Plain Rust in arrays of 16 with the tile of [`Isa::Avx512`], so that machines without it test its tiling.
    PortableWide,
}

impl Isa {
    /// The fastest this machine has.
    #[must_use]
    pub fn detect() -> Self {
        let best = [Self::Avx512, Self::Avx2];
        best.into_iter()
            .find(|isa| isa.is_available())
            .unwrap_or(Self::Portable)
    }

    /// All this machine has, fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let all = [Self::Avx512, Self::Avx2, Self::Portable, Self::PortableWide];
        all.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable | Self::PortableWide => true,
        }
    }
}

/// Whether this machine multiplies bf16 (AVX-512 BF16).
#[must_use]
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl Default for Isa {
    fn default() -> Self {
        Self::detect()
    }
}

/// Evaluates an expression with a [`Simd`](crate::simd::Simd) type in scope under the given name. All kernels start
/// here, so none runs instructions that the machine lacks.
macro_rules! dispatch {
    ($isa:expr, $simd:ident => $call:expr) => {{
        let isa: $crate::Isa = $isa;
        assert!(
            isa.is_available(),
            "{isa:?} is not available on this machine"
        );
        match isa {
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512 => {
                type $simd = $crate::simd::Avx512<false>;
                $call
            }
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx2 => {
                type $simd = $crate::simd::Avx2;
                $call
            }
            $crate::Isa::PortableWide => {
                type $simd = $crate::simd::Portable<16>;
                $call
            }
            _ => {
                type $simd = $crate::simd::Portable<8>;
                $call
            }
        }
    }};
}

pub(crate) use dispatch;
