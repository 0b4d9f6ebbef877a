"""What the audit services send a collector, a document a line, read by the protocol's own messages (PyPI
`opentelemetry-proto`) and written once more: it has to be the same, and be about these services."""

import base64
import json
import re
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

# OTLP writes them in hexadecimal digits, protobuf's JSON in base64: so many bytes.
IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def as_protobuf(document):
    for part in document["resourceSpans"]:
        for scope in part["scopeSpans"]:
            for span in scope["spans"]:
                for key in IDS.keys() & span.keys():
                    assert re.fullmatch(f"[0-9a-f]{{{2 * IDS[key]}}}", span[key]), span
                    span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return document


path, *expected = sys.argv[1:]
services, spans = set(), 0
with open(path) as lines:
    for line in lines:
        document = as_protobuf(json.loads(line))
        request = json_format.ParseDict(document, ExportTraceServiceRequest())
        written = json_format.MessageToDict(request, use_integers_for_enums=True)
        assert written == document, f"{written}\n{document}"
        for part in request.resource_spans:
            about = {one.key: one.value.string_value for one in part.resource.attributes}
            services.add(about["service.name"])
            for span in (span for scope in part.scope_spans for span in scope.spans):
                assert any(span.trace_id) and any(span.span_id), span
                assert span.kind in Span.SpanKind.values() and span.kind, span
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
                spans += 1
assert services == set(expected), services
print(f"{spans} spans of {sorted(services)}")
