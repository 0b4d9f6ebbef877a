//! Which processor, and how its firmware versions are written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// A processor's model as CPUID leaf 1 names it: family and model in their combined form, and the
/// stepping. In text and JSON the eight hexadecimal digits of EAX, such as `00a00f11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpuid {
    /// Base and extended family added up.
    pub family: u8,
    /// Base and extended model side by side.
    pub model: u8,
    /// The revision of the model; four bits.
    pub stepping: u8,
}

/// The text is not EAX of CPUID leaf 1. Whoever wrote it should compare it with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not eight hexadecimal digits of a CPUID")]
pub struct NotCpuid;

impl Cpuid {
    /// The product that the processor belongs to, if it is known.
    pub fn product(self) -> Option<Product> {
        Product::from_cpuid(self.family, self.model)
    }

    /// Reads EAX of CPUID leaf 1.
    pub fn from_eax(eax: u32) -> Self {
        let bits = |at: u32, mask: u32| (eax >> at & mask).to_le_bytes()[0];
        Self {
            // At most 15 + 255, and all processors with SNP are far below; a wrong text saturates.
            family: bits(8, 0xf).saturating_add(bits(20, 0xff)),
            model: bits(16, 0xf) << 4 | bits(4, 0xf),
            stepping: bits(0, 0xf),
        }
    }

    /// EAX of CPUID leaf 1 of such a processor.
    pub fn eax(self) -> u32 {
        let base = self.family.min(0xf);
        let extended = u32::from(self.family - base);
        let (high, low) = (u32::from(self.model >> 4), u32::from(self.model & 0xf));
        extended << 20 | high << 16 | u32::from(base) << 8 | low << 4 | u32::from(self.stepping)
    }
}

impl fmt::Display for Cpuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.eax())
    }
}

impl FromStr for Cpuid {
    type Err = NotCpuid;

    fn from_str(text: &str) -> Result<Self, NotCpuid> {
        let mut eax = [0; 4];
        hex::decode_to_slice(text, &mut eax).map_err(|_| NotCpuid)?;
        Ok(Self::from_eax(u32::from_be_bytes(eax)))
    }
}

impl Serialize for Cpuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cpuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
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

    /// The eight bytes of a report, in the product's order.
    pub fn to_bytes(self, product: Product) -> [u8; 8] {
        let Self {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = self;
        match product {
            Product::Milan | Product::Genoa => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
            Product::Turin => [fmc.unwrap_or(0), bootloader, tee, snp, 0, 0, 0, microcode],
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
    fn a_cpuid_is_written_as_the_processor_says_it() {
        for (text, family, model, stepping) in [
            ("00a00f11", 0x19, 0x01, 1),
            ("00a10f11", 0x19, 0x11, 1),
            ("00b00f21", 0x1a, 0x02, 1),
        ] {
            let cpuid: Cpuid = text.parse().unwrap();
            let expected = Cpuid {
                family,
                model,
                stepping,
            };
            assert_eq!(cpuid, expected);
            assert_eq!(cpuid.to_string(), text);
        }
        for text in ["", "a00f11", "00a00f1g", "00a00f1100"] {
            assert_eq!(text.parse::<Cpuid>(), Err(NotCpuid), "{text}");
        }
    }

    #[test]
    fn the_layout_of_the_versions_is_the_products() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let milan = Tcb::from_bytes(Product::Milan, bytes);
        assert_eq!(milan.parts().map(|(_, svn)| svn), [0, 1, 2, 7, 8]);
        let turin = Tcb::from_bytes(Product::Turin, bytes);
        assert_eq!(turin.parts().map(|(_, svn)| svn), [1, 2, 3, 4, 8]);
        assert_eq!(milan.to_bytes(Product::Milan), [1, 2, 0, 0, 0, 0, 7, 8]);
        assert_eq!(turin.to_bytes(Product::Turin), [1, 2, 3, 4, 0, 0, 0, 8]);
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
