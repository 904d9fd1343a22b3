"""What every refusal of the API has in common."""

from __future__ import annotations

import httpx2


def refused(answer: httpx2.Response, status: int, code: str) -> str:
    """Check that a request was refused as RFC 9457 and STAC Browser want it; return the sentence that says why."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["title"]
    assert problem["type"] == "about:blank"
    detail: str = problem["detail"]
    assert len(detail) > 10
    assert problem["description"] == detail
    assert "Traceback" not in detail
    assert "/site-packages/" not in detail
    return detail
