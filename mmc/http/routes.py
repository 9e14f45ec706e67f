"""The routes.  A refusal of the cluster is HTTP 200 with ``success`` false and the sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mmc.errors import CacheError, InvalidArgument
from mmc.http.metrics import metrics_page

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmc.http.facts import Cluster

Answer = Callable[["Request"], object]
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_BODY = 64 << 20
_MOST_KEYS = 4096
_MOST_JOB = 1 << 16


def make_app(cluster: Cluster) -> Starlette:
    """The application."""
    health = cluster.health
    pages: dict[str, Answer] = {
        "/health": lambda _: health(),
        "/role": lambda _: health()["role"],
        "/ha_status": lambda _: health()["ha_state"],
        "/leader": lambda _: health()["leader_address"],
        "/metrics": lambda _: Response(metrics_page(cluster), media_type=_METRICS_TYPE),
        "/metrics/summary": lambda _: cluster.summary(),
        "/query_key": lambda request: cluster.key(_query(request, "key")),
        "/batch_query_keys": lambda request: cluster.keys(_list(request, "keys")),
        "/get_all_keys": lambda _: cluster.listing(),
        "/get_all_segments": lambda _: "".join(f"{name}\n" for name in cluster.segments()),
        "/query_segment": lambda request: cluster.segment(_query(request, "segment")),
        "/api/v1/segments/status": lambda request: cluster.segment(_query(request, "segment")),
        "/api/v1/drain_jobs/query": lambda request: cluster.drain_job(_query(request, "job_id")),
        "/api/v1/capacity/usage": lambda _: cluster.usage(),
        "/api/v1/capacity/segment_remaining": lambda _: cluster.remaining(),
    }

    def cancel(request: Request) -> object:
        return cluster.cancel_drain(_query(request, "job_id"))

    routes = [Route(path, partial(_answer, page), methods=["GET"]) for path, page in pages.items()]
    routes += [
        Route("/api/v1/drain_jobs", partial(_begin_drain, cluster), methods=["POST"]),
        Route("/api/v1/drain_jobs/cancel", partial(_answer, cancel), methods=["POST"]),
    ]
    metadata = Route("/metadata", partial(_metadata, cluster), methods=["GET", "PUT", "DELETE"])
    return Starlette(routes=[*routes, metadata])


def _query(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise InvalidArgument(f"{request.url.path} needs ?{name}=")
    return value


def _list(request: Request, name: str) -> list[str]:
    values = [value for value in _query(request, name).split(",") if value]
    if not 0 < len(values) <= _MOST_KEYS:
        raise InvalidArgument(f"{name}: 1 to {_MOST_KEYS}, separated by commas")
    return values


async def _answer(page: Answer, request: Request) -> Response:
    return await _refusable(partial(page, request))


async def _metadata(cluster: Cluster, request: Request) -> Response:
    """Objects as raw text."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY:
            return _refusal(InvalidArgument(f"a body of more than {_MOST_BODY} bytes"))

    def act() -> object:
        key = _query(request, "key")
        if request.method == "PUT":
            cluster.write(key, body)
            return "ok"
        if request.method == "DELETE":
            cluster.remove(key)
            return "ok"
        return Response(cluster.read(key), media_type="text/plain")

    return await _refusable(act)


async def _begin_drain(cluster: Cluster, request: Request) -> Response:
    """A drain job: the segment stands in the query, or in a JSON object with ``discard`` beside it."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_JOB:
            return _refusal(InvalidArgument(f"a job of more than {_MOST_JOB} bytes"))

    def act() -> object:
        job = _job(body)
        segment = job.get("segment") or request.query_params.get("segment", "")
        discard = job.get("discard", request.query_params.get("discard") == "true")
        if not isinstance(segment, str) or not segment or not isinstance(discard, bool):
            raise InvalidArgument('a drain job is {"segment": "rank-0-dram", "discard": false}')
        return cluster.drain(segment, discard=discard)

    return await _refusable(act)


def _job(body: bytes) -> dict[str, object]:
    """The JSON object of a job, or an empty one."""
    try:
        job = json.loads(body) if body else {}
    except ValueError as reason:
        raise InvalidArgument(f"the body is no JSON: {reason}") from None
    if not isinstance(job, dict):
        raise InvalidArgument("the body is no JSON object")
    return job


async def _refusable(act: Callable[[], object]) -> Response:
    try:
        answer = await run_in_threadpool(act)
    except CacheError as error:
        return _refusal(error)
    if isinstance(answer, Response):
        return answer
    return PlainTextResponse(answer) if isinstance(answer, str) else JSONResponse(answer)


def _refusal(error: CacheError) -> Response:
    return JSONResponse(
        {"success": False, "error_message": str(error), "timestamp": int(time.time())}, status_code=200
    )
