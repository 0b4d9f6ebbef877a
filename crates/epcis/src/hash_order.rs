//! The order of an event's parts in its hash (CBV 2.0, Event Hash ID: canonical property order).

use crate::event_hash::Rules;
use crate::words::Vocabulary;

/// One part, and the parts below it in their order.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) is: Is,
    pub(crate) order: &'static [Self],
}

/// What the value of a part is.
#[derive(Clone, Copy)]
pub(crate) enum Is {
    Plain,
    Time,
    Word(Vocabulary),
}

const fn plain(name: &'static str) -> Field {
    Field {
        name,
        is: Is::Plain,
        order: &[],
    }
}

const fn time(name: &'static str) -> Field {
    Field {
        name,
        is: Is::Time,
        order: &[],
    }
}

const fn word(name: &'static str, vocabulary: Vocabulary) -> Field {
    Field {
        name,
        is: Is::Word(vocabulary),
        order: &[],
    }
}

const fn parent(name: &'static str, order: &'static [Field]) -> Field {
    Field {
        name,
        is: Is::Plain,
        order,
    }
}

const EPCS: &[Field] = &[plain("epc")];
const QUANTITIES: &[Field] = &[parent(
    "quantityElement",
    &[plain("epcClass"), plain("quantity"), plain("uom")],
)];
const PLACE: &[Field] = &[plain("id")];

/// Lists whose elements have no name of their own, and whose type comes first.
const BIZ_TRANSACTIONS: &[Field] = &[parent(
    "",
    &[
        word("type", Vocabulary::BizTransactionType),
        plain("bizTransaction"),
    ],
)];
const SOURCES: &[Field] = &[parent(
    "",
    &[
        word("type", Vocabulary::SourceDestinationType),
        plain("source"),
    ],
)];
const DESTINATIONS: &[Field] = &[parent(
    "",
    &[
        word("type", Vocabulary::SourceDestinationType),
        plain("destination"),
    ],
)];

const SENSOR_ELEMENTS: &[Field] = &[parent(
    "sensorElement",
    &[
        parent(
            "sensorMetadata",
            &[
                time("time"),
                time("startTime"),
                time("endTime"),
                plain("deviceID"),
                plain("deviceMetadata"),
                plain("rawData"),
                plain("dataProcessingMethod"),
                plain("bizRules"),
            ],
        ),
        parent(
            "sensorReport",
            &[
                word("type", Vocabulary::Measurement),
                word("exception", Vocabulary::SensorAlert),
                plain("deviceID"),
                plain("deviceMetadata"),
                plain("rawData"),
                plain("dataProcessingMethod"),
                time("time"),
                plain("microorganism"),
                plain("chemicalSubstance"),
                plain("value"),
                word("component", Vocabulary::Component),
                plain("stringValue"),
                plain("booleanValue"),
                plain("hexBinaryValue"),
                plain("uriValue"),
                plain("minValue"),
                plain("maxValue"),
                plain("meanValue"),
                plain("sDev"),
                plain("percRank"),
                plain("percValue"),
                plain("uom"),
                plain("coordinateReferenceSystem"),
            ],
        ),
    ],
)];

static FIRST: [Field; 3] = [
    time("eventTime"),
    plain("eventTimeZoneOffset"),
    plain("certificationInfo"),
];
static EPCS_FIRST: [Field; 2] = [parent("epcList", EPCS), plain("parentID")];
static PARENT_FIRST: [Field; 2] = [plain("parentID"), parent("epcList", EPCS)];
static MIDDLE: [Field; 14] = [
    parent("inputEPCList", EPCS),
    parent("childEPCs", EPCS),
    parent("quantityList", QUANTITIES),
    parent("childQuantityList", QUANTITIES),
    parent("inputQuantityList", QUANTITIES),
    parent("outputEPCList", EPCS),
    parent("outputQuantityList", QUANTITIES),
    plain("action"),
    plain("transformationID"),
    word("bizStep", Vocabulary::BizStep),
    word("disposition", Vocabulary::Disposition),
    parent(
        "persistentDisposition",
        &[
            word("set", Vocabulary::Disposition),
            word("unset", Vocabulary::Disposition),
        ],
    ),
    parent("readPoint", PLACE),
    parent("bizLocation", PLACE),
];

/// The lists whose elements have a type.
static TYPED: [Field; 3] = [
    parent("bizTransactionList", BIZ_TRANSACTIONS),
    parent("sourceList", SOURCES),
    parent("destinationList", DESTINATIONS),
];
static LAST: [Field; 1] = [parent("sensorElementList", SENSOR_ELEMENTS)];

/// The parts of an event in their order, without what comes after it: master data of the instance
/// or lot, and extensions.
pub(crate) fn of_event(rules: Rules) -> impl Iterator<Item = &'static Field> {
    let (second, typed): (&[Field], &[Field]) = match rules {
        Rules::Cbv2_0 => (&EPCS_FIRST, &TYPED),
        Rules::Generator1_9 => (&PARENT_FIRST, &[]),
    };
    let first = FIRST.iter().chain(second);
    first.chain(&MIDDLE).chain(typed).chain(&LAST)
}

/// The order within a list whose elements have a type, if this is one.
pub(crate) fn of_typed_list(name: &str) -> Option<&'static [Field]> {
    let mut lists = TYPED.iter();
    lists.find(|list| list.name == name).map(|list| list.order)
}
