//! Which processor, and how its firmware versions are written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A line of AMD processors with a signing root of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004: Genoa, Bergamo, Siena.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// The product behind the CPUID family and model of a report, both in their combined form.
    pub fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// The product in a certificate of AMD's, such as `Milan-B0`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let line = name.split('-').next().unwrap_or_default();
        [Self::Milan, Self::Genoa, Self::Turin]
            .into_iter()
            .find(|product| product.to_string() == line)
    }

    /// How many bytes of a report's chip id are used; the rest are zero.
    pub(super) fn chip_id_bytes(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Security versions of a platform's firmware, each counting up from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcb {
    /// The firmware of the management controller: Turin only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// The boot loader of the secure processor.
    pub bootloader: u8,
    /// The operating system of the secure processor.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The microcode of the cores.
    pub microcode: u8,
}

impl Tcb {
    /// Reads the eight bytes of a report, whose order is the product's.
    pub fn from_bytes(product: Product, bytes: [u8; 8]) -> Self {
        let [b0, b1, b2, b3, _, _, b6, microcode] = bytes;
        match product {
            Product::Milan | Product::Genoa => Self {
                fmc: None,
                bootloader: b0,
                tee: b1,
                snp: b6,
                microcode,
            },
            Product::Turin => Self {
                fmc: Some(b0),
                bootloader: b1,
                tee: b2,
                snp: b3,
                microcode,
            },
        }
    }

    /// The first part in which `self` is older than `minimum`, if any: its name, its version, and
    /// the version that is wanted.
    pub fn behind(self, minimum: Self) -> Option<(&'static str, u8, u8)> {
        let parts = self.parts().into_iter().zip(minimum.parts());
        parts
            .map(|((part, have), (_, want))| (part, have, want))
            .find(|(_, have, want)| have < want)
    }

    /// The first part in which two versions differ, if any, as [`Tcb::behind`] names it.
    pub(super) fn difference(self, other: Self) -> Option<(&'static str, u8, u8)> {
        let parts = self.parts().into_iter().zip(other.parts());
        parts
            .map(|((part, mine), (_, others))| (part, mine, others))
            .find(|(_, mine, others)| mine != others)
    }

    fn parts(self) -> [(&'static str, u8); 5] {
        [
            ("fmc", self.fmc.unwrap_or(0)),
            ("bootloader", self.bootloader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuid_names_the_product() {
        assert_eq!(Product::from_cpuid(0x19, 0x01), Some(Product::Milan));
        assert_eq!(Product::from_cpuid(0x19, 0x11), Some(Product::Genoa));
        assert_eq!(Product::from_cpuid(0x19, 0xa0), Some(Product::Genoa));
        assert_eq!(Product::from_cpuid(0x1a, 0x02), Some(Product::Turin));
        assert_eq!(Product::from_cpuid(0x19, 0x20), None);
        assert_eq!(Product::from_cpuid(0x1a, 0x12), None);
        assert_eq!(Product::from_cpuid(0x17, 0x01), None);
        assert_eq!(Product::from_name("Milan-B0"), Some(Product::Milan));
        assert_eq!(Product::from_name("Turin"), Some(Product::Turin));
        assert_eq!(Product::from_name("Milano"), None);
    }

    #[test]
    fn the_layout_of_the_versions_is_the_products() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let milan = Tcb::from_bytes(Product::Milan, bytes);
        assert_eq!(milan.parts().map(|(_, svn)| svn), [0, 1, 2, 7, 8]);
        let turin = Tcb::from_bytes(Product::Turin, bytes);
        assert_eq!(turin.parts().map(|(_, svn)| svn), [1, 2, 3, 4, 8]);
    }

    #[test]
    fn versions_are_compared_part_by_part() {
        let have = Tcb::from_bytes(Product::Turin, [1, 9, 3, 4, 0, 0, 0, 8]);
        assert_eq!(have.behind(have), None);
        let mut want = have;
        want.bootloader = 0;
        want.microcode = 9;
        assert_eq!(have.behind(want), Some(("microcode", 8, 9)));
        assert_eq!(have.difference(want), Some(("bootloader", 9, 0)));
    }
}
