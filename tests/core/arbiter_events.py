"""What a server says to an arbiter under test, with as little of it as counts."""

from realtime_trio.core.arbiter import METADATA_KEY
from realtime_trio.events import Error, ErrorDetails, Response, ResponseCreated, ResponseDone

ACTIVE = "conversation_already_has_active_response"


def created(response_id, tag=None, conversation_id="conv"):
    metadata = None if tag is None else {METADATA_KEY: tag}
    response = Response(id=response_id, conversation_id=conversation_id, metadata=metadata, status="in_progress")
    return ResponseCreated(event_id="e", response=response)


def done(response_id, status="completed", conversation_id="conv"):
    return ResponseDone(event_id="e", response=Response(id=response_id, status=status, conversation_id=conversation_id))


def error(code, event_id=None):
    return Error(
        event_id="e", error=ErrorDetails(type="invalid_request_error", message="", code=code, event_id=event_id)
    )
