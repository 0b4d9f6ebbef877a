//! The words of the Core Business Vocabulary and the three ways to write them.
//!
//! JSON has the bare word (`shipping`), the CBV 2.0 web vocabulary a URI
//! (`https://ref.gs1.org/cbv/BizStep-shipping`), and EPCIS 1.x a URN
//! (`urn:epcglobal:cbv:bizstep:shipping`). All three mean the same and are compared as the URI.

use std::borrow::Cow;

/// One list of words of the standard (CBV 2.0 section 7; the lists are those of the EPCIS 2.0.0
/// JSON-LD context, which says how each bare word expands).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vocabulary {
    /// Business steps (CBV 2.0 section 7.1): `bizStep`.
    BizStep,
    /// Dispositions (CBV 2.0 section 7.2): `disposition` and both parts of `persistentDisposition`.
    Disposition,
    /// Types of business transactions (CBV 2.0 section 7.3).
    BizTransactionType,
    /// Types of sources and destinations (CBV 2.0 section 7.4).
    SourceDestinationType,
    /// Reasons of error declarations (CBV 2.0 section 7.5).
    ErrorReason,
    /// What a sensor measures: the `type` of a sensor report, words of the GS1 Web Vocabulary.
    Measurement,
    /// What a sensor warns of: the `exception` of a sensor report.
    SensorAlert,
    /// Which part of a vector or position a sensor reports: `component`.
    Component,
}

/// The namespace of the CBV's web vocabulary, the prefix `cbv` of the EPCIS context.
pub const CBV: &str = "https://ref.gs1.org/cbv/";

/// The namespace of the GS1 Web Vocabulary, the prefix `gs1` of the EPCIS context.
pub const GS1: &str = "https://gs1.org/voc/";

/// The namespace of EPCIS itself, the prefix `epcis` of the EPCIS context.
pub const EPCIS: &str = "https://ref.gs1.org/epcis/";

impl Vocabulary {
    /// The bare words, in the order of the standard's context.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::BizStep => BIZ_STEPS,
            Self::Disposition => DISPOSITIONS,
            Self::BizTransactionType => BIZ_TRANSACTION_TYPES,
            Self::SourceDestinationType => SOURCE_DESTINATION_TYPES,
            Self::ErrorReason => ERROR_REASONS,
            Self::Measurement => MEASUREMENTS,
            Self::SensorAlert => SENSOR_ALERTS,
            Self::Component => COMPONENTS,
        }
    }

    /// What an error message calls one of these words.
    pub fn described(self) -> &'static str {
        match self {
            Self::BizStep => "a business step of CBV 2.0 (section 7.1), nor a URI",
            Self::Disposition => "a disposition of CBV 2.0 (section 7.2), nor a URI",
            Self::BizTransactionType => {
                "a business transaction type of CBV 2.0 (section 7.3), nor a URI"
            }
            Self::SourceDestinationType => {
                "a source or destination type of CBV 2.0 (section 7.4), nor a URI"
            }
            Self::ErrorReason => "an error reason of CBV 2.0 (section 7.5), nor a URI",
            Self::Measurement => "a measurement type of the GS1 Web Vocabulary, nor a URI",
            Self::SensorAlert => "a sensor alert type of the GS1 Web Vocabulary, nor a URI",
            Self::Component => "a component of CBV 2.0, nor a URI",
        }
    }

    /// The namespace and the beginning of a word's name in it.
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::BizStep => (CBV, "BizStep-"),
            Self::Disposition => (CBV, "Disp-"),
            Self::BizTransactionType => (CBV, "BTT-"),
            Self::SourceDestinationType => (CBV, "SDT-"),
            Self::ErrorReason => (CBV, "ER-"),
            Self::Measurement | Self::SensorAlert => (GS1, ""),
            Self::Component => (CBV, "Comp-"),
        }
    }

    /// The word in any of its forms as its URI. What is no such word is given back unchanged.
    ///
    /// ```
    /// use counterfoil_epcis::Vocabulary;
    /// let uri = "https://ref.gs1.org/cbv/BizStep-shipping";
    /// assert_eq!(Vocabulary::BizStep.expand("shipping"), uri);
    /// assert_eq!(Vocabulary::BizStep.expand("cbv:BizStep-shipping"), uri);
    /// assert_eq!(Vocabulary::BizStep.expand("urn:epcglobal:cbv:bizstep:shipping"), uri);
    /// ```
    pub fn expand(self, value: &str) -> Cow<'_, str> {
        match value.split_once(':') {
            Some(("cbv", rest)) => Cow::Owned(format!("{CBV}{rest}")),
            Some(("gs1", rest)) => Cow::Owned(format!("{GS1}{rest}")),
            _ => self.expand_bare(value),
        }
    }

    /// [`expand`](Self::expand) without the prefixes `cbv` and `gs1`.
    pub(crate) fn expand_bare(self, value: &str) -> Cow<'_, str> {
        if self.words().contains(&value) {
            let (namespace, name) = self.name();
            return Cow::Owned(format!("{namespace}{name}{value}"));
        }
        expand_urn(value)
    }

    /// The bare word of a value in any of its forms, if it is one of this list.
    pub fn shorten(self, value: &str) -> Option<&'static str> {
        let expanded = self.expand(value);
        let (namespace, name) = self.name();
        let word = expanded.strip_prefix(namespace)?.strip_prefix(name)?;
        self.words().iter().find(|known| **known == word).copied()
    }
}

/// URNs of EPCIS 1.x words, and what they are called today.
const URNS: [(&str, &str); 5] = [
    ("urn:epcglobal:cbv:bizstep:", "BizStep-"),
    ("urn:epcglobal:cbv:disp:", "Disp-"),
    ("urn:epcglobal:cbv:btt:", "BTT-"),
    ("urn:epcglobal:cbv:sdt:", "SDT-"),
    ("urn:epcglobal:cbv:er:", "ER-"),
];

/// A word that is written as a URN as its URI; anything else unchanged.
pub fn expand_urn(value: &str) -> Cow<'_, str> {
    for (urn, name) in URNS {
        if let Some(word) = value.strip_prefix(urn) {
            return Cow::Owned(format!("{CBV}{name}{word}"));
        }
    }
    Cow::Borrowed(value)
}

const BIZ_STEPS: &[&str] = &[
    "accepting",
    "arriving",
    "assembling",
    "collecting",
    "commissioning",
    "consigning",
    "creating_class_instance",
    "cycle_counting",
    "decommissioning",
    "departing",
    "destroying",
    "disassembling",
    "dispensing",
    "encoding",
    "entering_exiting",
    "holding",
    "inspecting",
    "installing",
    "killing",
    "loading",
    "other",
    "packing",
    "picking",
    "receiving",
    "removing",
    "repackaging",
    "repairing",
    "replacing",
    "reserving",
    "retail_selling",
    "sampling",
    "sensor_reporting",
    "shipping",
    "staging_outbound",
    "stock_taking",
    "stocking",
    "storing",
    "transporting",
    "unloading",
    "unpacking",
    "void_shipping",
];

const DISPOSITIONS: &[&str] = &[
    "active",
    "available",
    "completeness_verified",
    "completeness_inferred",
    "conformant",
    "container_closed",
    "container_open",
    "damaged",
    "destroyed",
    "dispensed",
    "disposed",
    "encoded",
    "expired",
    "in_progress",
    "in_transit",
    "inactive",
    "mismatch_instance",
    "mismatch_class",
    "mismatch_quantity",
    "needs_replacement",
    "no_pedigree_match",
    "non_conformant",
    "non_sellable_other",
    "partially_dispensed",
    "recalled",
    "reserved",
    "retail_sold",
    "returned",
    "sellable_accessible",
    "sellable_not_accessible",
    "stolen",
    "unavailable",
    "unknown",
];

const BIZ_TRANSACTION_TYPES: &[&str] = &[
    "bol",
    "cert",
    "desadv",
    "inv",
    "pedigree",
    "po",
    "poc",
    "prodorder",
    "recadv",
    "rma",
    "testprd",
    "testres",
    "upevt",
];

const SOURCE_DESTINATION_TYPES: &[&str] = &["owning_party", "possessing_party", "location"];

const ERROR_REASONS: &[&str] = &["did_not_occur", "incorrect_data"];

const MEASUREMENTS: &[&str] = &[
    "AbsoluteHumidity",
    "AbsorbedDose",
    "AbsorbedDoseRate",
    "Acceleration",
    "Radioactivity",
    "Altitude",
    "AmountOfSubstance",
    "AmountOfSubstancePerUnitVolume",
    "Angle",
    "AngularAcceleration",
    "AngularMomentum",
    "AngularVelocity",
    "Area",
    "Capacitance",
    "Conductance",
    "Conductivity",
    "Count",
    "Density",
    "Dimensionless",
    "DoseEquivalent",
    "DoseEquivalentRate",
    "DynamicViscosity",
    "ElectricCharge",
    "ElectricCurrent",
    "ElectricCurrentDensity",
    "ElectricFieldStrength",
    "Energy",
    "Exposure",
    "Force",
    "Frequency",
    "Illuminance",
    "Inductance",
    "Irradiance",
    "KinematicViscosity",
    "Length",
    "LinearMomentum",
    "Luminance",
    "LuminousFlux",
    "LuminousIntensity",
    "MagneticFlux",
    "MagneticFluxDensity",
    "MagneticVectorPotential",
    "Mass",
    "MassConcentration",
    "MassFlowRate",
    "MassPerAreaTime",
    "MemoryCapacity",
    "MolalityOfSolute",
    "MolarEnergy",
    "MolarMass",
    "MolarVolume",
    "Power",
    "Pressure",
    "RadiantFlux",
    "RadiantIntensity",
    "RelativeHumidity",
    "Resistance",
    "Resistivity",
    "SolidAngle",
    "SpecificVolume",
    "Speed",
    "SurfaceDensity",
    "SurfaceTension",
    "Temperature",
    "Time",
    "Torque",
    "Voltage",
    "Volume",
    "VolumeFlowRate",
    "VolumeFraction",
    "VolumetricFlux",
    "Wavenumber",
];

const SENSOR_ALERTS: &[&str] = &["ALARM_CONDITION", "ERROR_CONDITION"];

const COMPONENTS: &[&str] = &[
    "x",
    "y",
    "z",
    "axial_distance",
    "azimuth",
    "height",
    "spherical_radius",
    "polar_angle",
    "elevation_angle",
    "easting",
    "northing",
    "latitude",
    "longitude",
    "altitude",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_have_the_words_of_the_standard() {
        for (vocabulary, count) in [
            (Vocabulary::BizStep, 41),
            (Vocabulary::Disposition, 33),
            (Vocabulary::BizTransactionType, 13),
            (Vocabulary::SourceDestinationType, 3),
            (Vocabulary::ErrorReason, 2),
            (Vocabulary::Measurement, 72),
            (Vocabulary::SensorAlert, 2),
            (Vocabulary::Component, 14),
        ] {
            assert_eq!(vocabulary.words().len(), count, "{vocabulary:?}");
            for word in vocabulary.words() {
                let uri = vocabulary.expand(word);
                assert!(uri.starts_with("https://"), "{uri}");
                assert_eq!(vocabulary.shorten(&uri), Some(*word));
            }
        }
    }

    #[test]
    fn other_words_stay_as_they_are() {
        for other in ["", "in_transit", "https://ns.example.com/step", "urn:x:y"] {
            assert_eq!(Vocabulary::BizStep.expand(other), other);
            assert_eq!(Vocabulary::BizStep.shorten(other), None);
        }
        let reason = Vocabulary::ErrorReason.expand("urn:epcglobal:cbv:er:incorrect_data");
        assert_eq!(reason, "https://ref.gs1.org/cbv/ER-incorrect_data");
        assert_eq!(
            Vocabulary::Measurement.expand("gs1:Temperature"),
            "https://gs1.org/voc/Temperature"
        );
    }
}
