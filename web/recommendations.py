"""Recommendations: for a user, at two paths, and for a visitor whose items are in the request."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import ClassVar

import msgspec
from aiohttp import web

from reco_stream import metrics
from web.after import AFTER, WAIT_S, wait_applied
from web.encoding import encoded, json_response
from web.errors import ApiError
from web.next_token import read_token
from web.params import COUNT, EXCLUDE_SEEN, EXPLAIN, RANKER, USER_ID, IntParam, K, check_id, is_id, shown
from web.recommend_service import Recommender, Wish
from web.routing import ask_owner, require_read_models
from web.rules import NOTHING_ASKED, RULE_PARAMS, Asked, prepare, read_asked, rules_of, selection_of
from web.schemas import ErrorBody, Recommendations, SessionQuestion
from web.view import JsonView, Operation

_ANSWERS = {200: Recommendations, 404: ErrorBody, 503: ErrorBody}
_DESCRIPTION = (
    "Any worker answers: it asks the owner of the user's partition; when that one does not answer within 250 ms, the "
    "answer comes from a copy that may be behind (source `standby`), else it is what is popular (source `fallback`). "
    "A user without events gets popular items with the reason `popular`. The list is never empty while there are items "
    "that the user did not hide; 503 while this worker is still reading what the others published. With `after`, the "
    "token of POST /events, the answer waits for those events for up to a second; `freshness.after_applied` says "
    "whether it contains them."
)
_QUESTION = msgspec.json.Decoder(SessionQuestion)


class UserView(JsonView):
    """What both paths for a user share."""

    endpoint: ClassVar[str]

    def __post_init__(self) -> None:
        self._recommender = Recommender(self.services)

    async def _respond(self, request: web.Request, user: str, wish: Wish) -> web.Response:
        started = time.perf_counter()
        response, source = await self._answer(request, user, wish)
        metrics.recommendation_answered(self.endpoint, source, time.perf_counter() - started)
        return response

    async def _answer(self, request: web.Request, user: str, wish: Wish) -> tuple[web.Response, str]:
        state = self.services.state
        partition = state.partition_of(user)
        if state.is_running(partition):
            require_read_models(self.services)
            await prepare(self.services, wish.asked, wish.count)
            if wish.after is not None:
                await wait_applied(self.services, partition, wish.after)
            if state.is_running(partition):
                return json_response(self._recommender.for_user(user, wish)), "owner"
        waits_s = WAIT_S if wish.after is not None else 0.0
        reply = await ask_owner(self.services, self.forwarder, request, user, waits_s)
        if reply is not None:
            return reply.response(), "forwarded"
        require_read_models(self.services)
        copied = self._recommender.from_copy(user, wish)
        if copied is not None:
            return json_response(copied), "standby"
        return json_response(self._recommender.fallback(user, wish)), "fallback"


class RecommendationsForUser(UserView):
    """Recommendations with the user in the query."""

    view_path = "/recommendations"
    endpoint = "recommendations"
    operations: ClassVar = {
        "GET": Operation(
            "Recommend items to a user",
            _ANSWERS,
            query=(USER_ID, COUNT, EXCLUDE_SEEN, EXPLAIN, RANKER, AFTER, *RULE_PARAMS),
            description=_DESCRIPTION,
            examples=("curl -s 'localhost:6066/recommendations?user_id=u1&count=5&explain'",),
        )
    }

    async def get(self, request: web.Request) -> web.Response:
        query = request.query
        user = USER_ID.require(query)
        return await self._respond(request, user, read_wish(query, COUNT, self.services.settings.event_weights))

    def answer_now(self, query: Mapping[str, str]) -> bytes | None:
        """Returns what `get` would, when this worker is the owner and no filter or event has to be waited for."""
        started = time.perf_counter()
        state = self.services.state
        try:
            user = USER_ID.require(query)
            wish = read_wish(query, COUNT, self.services.settings.event_weights)
            if wish.after is not None or wish.asked is not NOTHING_ASKED:
                return None
            if not state.is_running(state.partition_of(user)) or not state.read_models_ready:
                return None
            if selection_of(self.services, rules_of(self.services, wish.asked).filter) is not None:
                return None
            body = encoded(self._recommender.for_user(user, wish))
        except Exception:  # it happens again in `get`, and is answered and logged there
            return None
        taken_s = time.perf_counter() - started
        metrics.recommendation_answered(self.endpoint, "owner", taken_s)
        metrics.http_answered("GET", self.view_path, 200, taken_s)
        return body


class Recommend(UserView):
    """Recommendations with the user in the path: the same answer."""

    view_path = "/recommend/{user_id}"
    endpoint = "recommend"
    operations: ClassVar = {
        "GET": Operation(
            "Recommend items to a user (short form)",
            _ANSWERS,
            query=(K, EXCLUDE_SEEN, EXPLAIN, RANKER, AFTER, *RULE_PARAMS),
            path=(USER_ID,),
            description=_DESCRIPTION,
            examples=("curl -s 'localhost:6066/recommend/u1?k=5'",),
        )
    }

    async def get(self, request: web.Request, user_id: str) -> web.Response:
        query = request.query
        user = check_id("user_id", user_id)
        return await self._respond(request, user, read_wish(query, K, self.services.settings.event_weights))


class RecommendationsForSession(JsonView):
    """Recommendations for people without an account."""

    view_path = "/recommendations/session"
    operations: ClassVar = {
        "POST": Operation(
            "Recommend items to a visitor from the items looked at",
            _ANSWERS,
            body=SessionQuestion,
            description="Nothing is stored. The items given are left out unless `exclude_seen` is false.",
            examples=("""curl -s localhost:6066/recommendations/session -d '{"items": ["i1", "i2"], "count": 5}'""",),
        )
    }

    def __post_init__(self) -> None:
        self._recommender = Recommender(self.services)

    async def post(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        require_read_models(self.services)
        question = read_question(await request.read())
        items = [str(item) for item in question.items]
        asked = Asked(question.scenario, question.rules, read_token(question.next))
        wish = Wish(question.count, question.exclude_seen, question.explain, question.ranker, asked)
        await prepare(self.services, asked, wish.count)
        response = json_response(self._recommender.for_items(items, wish))
        metrics.recommendation_answered("session", "read_model", time.perf_counter() - started)
        return response


def read_wish(query: Mapping[str, str], count: IntParam, types: Collection[str]) -> Wish:
    """Returns how the answer is wanted; `types` of events there are. Raises `ApiError` 400 for a bad parameter."""
    seen, explain, ranker = EXCLUDE_SEEN.read(query, types), EXPLAIN.read(query), RANKER.read(query)
    return Wish(count.read(query), seen, explain, ranker, read_asked(query), AFTER.read(query))


def read_question(body: bytes) -> SessionQuestion:
    """Returns the question of a body; raises `ApiError` 400 when it is not JSON, 422 when it has another shape."""
    try:
        question = _QUESTION.decode(body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        field = where.strip("`.").split("[")[0].split(".")[0] or None
        wanted = 'an object like {"items": ["i1"], "count": 10}'
        raise ApiError(422, "bad_body", f"{field or 'the body'}: {what}; wanted: {wanted}", field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "not_json", f"the body is not JSON: {error}; wanted: one object") from None
    for n, item in enumerate(map(str, question.items)):
        if not is_id(item):
            raise ApiError(422, "bad_body", f"items[{n}] is {shown(item)}, wanted: 1 to 256 bytes of UTF-8", "items")
    return question
