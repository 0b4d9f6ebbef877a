"""Fills this folder with vectors from the event hash generator that the standard's authors publish.

    python3 -m venv venv
    venv/bin/pip install epcis_event_hash_generator==1.9.3 PyLD==3.3.0 python-dateutil==4.0.0
    venv/bin/python fill.py

The generator is the oracle, unchanged: `generator` is what it says of a whole event. `standard` is
what it says of the event's parts one by one, put together in the order of the table that the
standard and the generator's own description give. Events come from a seed, so a second run writes
the same files.
"""

import hashlib
import importlib.metadata
import json
import logging
import pathlib
import random
import string

from epcis_event_hash_generator import dl_normaliser, hash_generator, json_to_py

VERSION = "1.9.3"
CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
HERE = pathlib.Path(__file__).parent
ORDER = """eventTime eventTimeZoneOffset certificationInfo epcList parentID inputEPCList childEPCs
quantityList childQuantityList inputQuantityList outputEPCList outputQuantityList action
transformationID bizStep disposition persistentDisposition readPoint bizLocation
bizTransactionList sourceList destinationList sensorElementList""".split()
FIRST = ("type", "eventTime", "eventTimeZoneOffset")
UNHASHED = ("recordTime", "eventID", "errorDeclaration")

EX, EX2 = "https://ns.example.com/epcis/", "http://ns.example.org/deep/er/"
HASH_NS = "https://ns.example.com/vocabulary#"
rand = random.Random(20)


def oracle(event, prefixes):
    """The pre-hash string of one event by the unchanged generator."""
    json_to_py._namespaces.clear()
    document = {
        "@context": [CONTEXT, *prefixes],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-01-01T00:00:00Z",
        "epcisBody": {"eventList": [json.loads(json.dumps(event))]},
    }
    events = json_to_py.event_list_from_epcis_document_json(document)
    (prehash,) = hash_generator.derive_prehashes_from_events(events)
    return prehash


def standard(event, prefixes):
    """The same in the order of the standard, from the generator's text for each part."""
    first = {key: event[key] for key in FIRST}
    start = oracle(first, prefixes)

    def part(fields):
        if not fields:
            return ""
        text = oracle({**first, **fields}, prefixes)
        assert text.startswith(start)
        return text[len(start):]

    known = [key for key in ORDER if key in event and key not in FIRST]
    texts = [part({key: event[key]}) for key in known]
    other = {k: v for k, v in event.items() if k not in (*ORDER, *FIRST, *UNHASHED)}
    return start + "".join(texts) + part(other)


def digits(count):
    return "".join(rand.choice(string.digits) for _ in range(count))


def letters(low, high, more=""):
    pool = string.ascii_letters + string.digits + more
    return "".join(rand.choice(pool) for _ in range(rand.randint(low, high)))


def split(total):
    """Company prefix and reference with so many digits together."""
    prefix = rand.randint(6, min(12, total - 1))
    return digits(prefix) + "." + digits(total - prefix)


def serial(longest=20):
    return letters(1, longest - 6) + rand.choice(["", "", "-1", "(A)", "*+,", "'x;=", ".7", "_", ":!"])


def gtin(length=14):
    body = digits(length - 1)
    return body + str(dl_normaliser.check_digit(body))


def link(path):
    base = rand.choice(["https://id.gs1.org", "https://brand.example/p", "http://example.org"])
    return base + path + rand.choice(["", "", "?17=271231", "?linkType=gs1:pip"])


def instance():
    return rand.choice([
        lambda: f"urn:epc:id:sgtin:{split(13)}.{serial()}",
        lambda: f"urn:epc:id:sscc:{split(17)}",
        lambda: f"urn:epc:id:grai:{rand.choice(['4012345.12345', '952114.123456'])}.{serial(16)}",
        lambda: f"urn:epc:id:giai:{digits(7)}.{letters(1, 20)}",
        lambda: f"urn:epc:id:gdti:{digits(7)}.{digits(5)}.{serial(17)}",
        lambda: f"urn:epc:id:cpi:{digits(7)}.{letters(1, 9).upper()}.{digits(6)}",
        lambda: f"urn:epc:id:itip:{split(13)}.01.02.{serial()}",
        lambda: f"urn:epc:id:upui:{split(13)}.{serial(28)}",
        lambda: f"urn:epc:id:sgcn:{digits(7)}.{digits(5)}.{digits(8)}",
        lambda: f"urn:epc:id:gsrn:{split(17)}",
        lambda: f"urn:epc:id:gsrnp:{split(17)}",
        lambda: f"urn:epc:id:gsin:{split(16)}",
        lambda: f"urn:epc:id:ginc:{digits(8)}.{letters(1, 20)}",
        lambda: link(f"/01/{gtin()}/21/{letters(1, 20)}"),
        lambda: link(f"/gtin/{gtin(13)}/lot/{letters(1, 9)}/ser/{letters(1, 9)}"),
        lambda: link(f"/01/{gtin()}/22/2A/21/{letters(1, 9)}"),
        lambda: link(f"/00/{gtin(18)}"),
        lambda: link(f"/8003/{gtin()}{letters(1, 16)}"),
        lambda: link(f"/8004/{digits(7)}{letters(1, 20)}"),
        lambda: f"urn:uuid:{digits(8)}",
    ])()


def product():
    return rand.choice([
        lambda: f"urn:epc:class:lgtin:{split(13)}.{serial()}",
        lambda: f"urn:epc:idpat:sgtin:{split(13)}.*",
        lambda: f"urn:epc:idpat:grai:{digits(7)}.{digits(5)}.*",
        lambda: f"urn:epc:idpat:cpi:{digits(7)}.{letters(1, 9).upper()}.*",
        lambda: link(f"/01/{gtin()}/10/{letters(1, 20)}"),
        lambda: link(f"/01/{gtin(12)}"),
    ])()


def place():
    return rand.choice([
        lambda: f"urn:epc:id:sgln:{split(12)}.0",
        lambda: f"urn:epc:id:sgln:{split(12)}.{serial()}",
        lambda: link(f"/414/{gtin(13)}"),
        lambda: link(f"/gln/{gtin(13)}/254/{letters(1, 9)}"),
        lambda: "geo:47.506694,11.104301",
    ])()


def party():
    return rand.choice([
        lambda: f"urn:epc:id:pgln:{split(12)}",
        lambda: link(f"/417/{gtin(13)}"),
    ])()


def time():
    fraction = rand.choice(["", ".5", ".12", ".123", ".000", ".123400", ".9871", ".000001"])
    offset = rand.choice(["Z", "+00:00", "+01:00", "-06:30", "+14:00"])
    day = f"20{digits(2)}-{rand.randint(1, 12):02}-{rand.randint(1, 28):02}"
    return f"{day}T{rand.randint(0, 23):02}:{rand.randint(0, 59):02}:59{fraction}{offset}"


def word(words, name, urn):
    chosen = rand.choice(words)
    forms = [chosen, chosen, f"https://ref.gs1.org/cbv/{name}-{chosen}", f"cbv:{name}-{chosen}"]
    return rand.choice([*forms, f"urn:epcglobal:cbv:{urn}:{chosen}"])


def number():
    return rand.choice([0, 1, -7, 26.0, 12.50, 0.3434, 1000000, 0.0625, 98765.4321])


def scalar(quirky):
    plain = [number(), letters(1, 9), " padded ", "Grüße 東京", "007", "1.50", "+3", "a=b{c}",
             instance(), "ex:curie", "ex2:cu:rie", "https://a.example/x?y#z", "", "2026-01-01"]
    odd = [True, False, None, "12345678901234567890", 0.00001, "1e5", "gs1:Undeclared"]
    return rand.choice(plain + odd * 2 if quirky else plain)


def extension(quirky, depth=0):
    kind = rand.random()
    if depth < 3 and kind < 0.3:
        return extensions(quirky, depth + 1, rand.randint(0, 3))
    if depth < 3 and kind < 0.5:
        return [extension(quirky, depth + 1) for _ in range(rand.randint(0, 3))]
    return scalar(quirky)


def extensions(quirky, depth=0, count=None):
    names = ["alpha", "beta", "Gamma", "z9", "itemsList", "a-b", "a", "count"]
    prefixes = ["ex", "ex2"] + (["hash"] * 2 if quirky else [])
    count = rand.randint(0, 3) if count is None else count
    return {f"{rand.choice(prefixes)}:{rand.choice(names)}": extension(quirky, depth) for _ in range(count)}


def inner(quirky):
    return extensions(quirky, 1) if rand.random() < 0.4 else {}


def quantity():
    element = {"epcClass": product()}
    if rand.random() < 0.8:
        element["quantity"] = abs(number())
        if rand.random() < 0.6:
            element["uom"] = rand.choice(["KGM", "LTR", "CEL"])
    return shuffled(element)


def sensors(quirky):
    metadata = {"time": time(), "deviceID": instance(), "bizRules": "https://a.example/rules", **inner(quirky)}
    if rand.random() < 0.5:
        metadata |= {"startTime": time(), "endTime": time(), "rawData": instance()}
    reports = []
    for _ in range(rand.randint(1, 3)):
        kind = rand.choice(["Temperature", "RelativeHumidity", "https://gs1.org/voc/Speed", "gs1:Mass", "ex:custom"])
        report = {"type": kind, "value": number(), "uom": "CEL", **inner(quirky)}
        choice = rand.random()
        if choice < 0.3:
            report |= {"minValue": number(), "maxValue": number(), "meanValue": number(), "sDev": 0.1, "time": time()}
        elif choice < 0.5:
            report |= {"component": "x", "stringValue": " text ", "percRank": 50, "percValue": 12.70}
        elif choice < 0.6:
            report |= {"exception": "ALARM_CONDITION", "uriValue": "https://a.example/7", "hexBinaryValue": "f0f0"}
        if quirky and rand.random() < 0.5:
            report["booleanValue"] = rand.choice([True, False])
        reports.append(shuffled(report))
    if quirky and rand.random() < 0.3:
        metadata = extensions(quirky, 2, 1)
    return shuffled({"sensorMetadata": shuffled(metadata), "sensorReport": reports, **inner(quirky)})


def some(make, low=1, high=3):
    return [make() for _ in range(rand.randint(low, high))]


def shuffled(fields):
    items = list(fields.items())
    rand.shuffle(items)
    return dict(items)


def typed(types, urn, field, make):
    # The generator leaves the order of these two as the JSON has it; the standard has it so.
    return {"type": word(types, urn.upper(), urn), field: make()}


def event(quirky):
    kind = rand.choice(["Object", "Aggregation", "Association", "Transaction", "Transformation"])
    made = {"type": kind + "Event", "eventTime": time(), "eventTimeZoneOffset": rand.choice(["+01:00", "-05:30"])}
    maybe = lambda chance=0.5: rand.random() < chance
    if kind != "Transformation":
        made["action"] = rand.choice(["ADD", "OBSERVE", "DELETE"])
    if kind in ("Object", "Transaction"):
        made["epcList"] = some(instance)
        if maybe():
            made["quantityList"] = some(quantity)
    if kind in ("Aggregation", "Association"):
        made |= {"parentID": instance(), "childEPCs": some(instance)}
        if maybe():
            made["childQuantityList"] = some(quantity)
    if kind == "Transaction" and maybe():
        made["parentID"] = instance()
    if kind == "Transformation":
        made |= {"inputEPCList": some(instance), "outputQuantityList": some(quantity)}
        if maybe():
            made |= {"inputQuantityList": some(quantity), "outputEPCList": some(instance), "transformationID": "urn:epc:id:gdti:0614141.12345.T7"}
    if (kind == "Transformation" or made.get("action") == "ADD" and kind == "Object") and maybe():
        made["ilmd"] = extensions(quirky, 0, rand.randint(1, 3))
    if maybe(0.8):
        made["bizStep"] = word(["shipping", "receiving", "retail_selling", "sensor_reporting"], "BizStep", "bizstep")
    if maybe(0.8):
        made["disposition"] = word(["in_transit", "active", "inactive"], "Disp", "disp")
    if maybe(0.3):
        made["persistentDisposition"] = {"unset": ["damaged"], "set": ["completeness_verified", "conformant"]}
    if maybe():
        made["readPoint"] = shuffled({"id": place(), **inner(quirky)})
    if maybe():
        made["bizLocation"] = shuffled({"id": place(), **inner(quirky)})
    if maybe() or kind == "Transaction":
        made["bizTransactionList"] = some(lambda: typed(["po", "desadv", "inv"], "btt", "bizTransaction", instance))
    if maybe(0.4):
        made["sourceList"] = some(lambda: typed(["owning_party", "possessing_party"], "sdt", "source", party))
    if maybe(0.4):
        made["destinationList"] = some(lambda: typed(["owning_party", "location"], "sdt", "destination", party))
    if maybe(0.4):
        made["sensorElementList"] = some(lambda: sensors(quirky))
    if maybe(0.3):
        made["certificationInfo"] = ["https://b.example/cert", "https://a.example/cert"]
    if maybe(0.4):
        made |= {"eventID": "urn:uuid:7", "recordTime": time(), "comment": "not hashed"}
    if maybe(0.2):
        made["errorDeclaration"] = {"declarationTime": time(), "reason": "did_not_occur", "ex:note": "not hashed"}
    return shuffled(made | extensions(quirky))


def reference():
    """The event whose hash the generator's description publishes as its first example."""
    return {
        "type": "ObjectEvent",
        "eventTime": "2020-03-04T11:00:30.000+01:00",
        "eventTimeZoneOffset": "+01:00",
        "epcList": [f"urn:epc:id:sscc:4012345.0000000{n}" for n in (333, 111, 222)],
        "action": "OBSERVE",
        "bizStep": "departing",
        "readPoint": {"id": "urn:epc:id:sgln:4012345.00011.987"},
        "ex:myField1": {"ex:mySubField1": "2", "ex:mySubField2": "5"},
        "ex:myField2": "0",
        "ex:myField3": {"ex:mySubField3": ["3", "1"]},
    }


def vector(made, quirky):
    prefixes = [{"ex": EX, "gs1": "https://gs1.org/voc/"}, {"ex2": EX2, "cbv": "https://ref.gs1.org/cbv/"}]
    if quirky:
        prefixes = [{"ex": EX, "hash": HASH_NS, "cbv": "https://ref.gs1.org/cbv/"}, {"ex2": EX2}]
        made = json.loads(json.dumps(made).replace("gs1:Mass", "Mass"))
    texts = {"generator": oracle(made, prefixes)}
    if not quirky:
        texts["standard"] = standard(made, prefixes)
    hashes = {
        f"{rules}_hash": hash_generator.calculate_hashes_from_pre_hashes([text])[0]
        for rules, text in texts.items()
    }
    return {"event": {"@context": prefixes, **made}, **texts, **hashes}


def write(name, rows):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / name).write_text(lines, encoding="utf-8")
    print(name, len(rows), hashlib.sha256(lines.encode()).hexdigest()[:16])


def main():
    assert importlib.metadata.version("epcis-event-hash-generator") == VERSION
    logging.disable(logging.CRITICAL)
    events = [vector(reference(), False)] + [vector(event(False), False) for _ in range(120)]
    write("events.jsonl", events)
    write("events-generator.jsonl", [vector(event(True), True) for _ in range(60)])
    uris = sorted({make() for make in (instance, product, place, party) for _ in range(60)})
    write("identifiers.jsonl", [[uri, dl_normaliser.normaliser(uri)] for uri in uris])


if __name__ == "__main__":
    main()
