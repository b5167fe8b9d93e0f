"""`client.models`: the models that a server serves."""

from collections.abc import Iterator
from urllib.parse import quote

from qstar_client._answer_types import AnswerModel
from qstar_client._answers import decode
from qstar_client._errors import QStarClientError
from qstar_client._http import AsyncSession, Session

_PATH = "/v1/models"


class Model(AnswerModel):
    """A model that the server serves."""

    id: str
    object: str
    created: int
    """Unix time in seconds."""
    owned_by: str


class ModelList(AnswerModel):
    """Every model of the server, as `data` and as a sequence."""

    object: str = "list"
    data: list[Model]

    def __iter__(self) -> Iterator[Model]:  # type: ignore[override]  # pydantic's gives fields
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Model:
        return self.data[index]


class Models:
    """`client.models`: the models that the server serves."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._only_id: str | None = None

    def list(self) -> ModelList:
        """Every model of the server."""
        return decode(self._session.fetch(_PATH), ModelList)

    def retrieve(self, model: str) -> Model:
        """One model by its id.

        Raises:
            NotFoundError: the server has no such model.
            ValueError: the id is empty.
        """
        return decode(self._session.fetch(_model_path(model)), Model)

    def only_id(self) -> str:
        """The id of the server's only model; the server is asked once.

        Raises:
            QStarClientError: the server has no model or several.
        """
        if self._only_id is None:
            self._only_id = _only_id(self.list())
        return self._only_id


class AsyncModels:
    """`client.models`: the models that the server serves."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._only_id: str | None = None

    async def list(self) -> ModelList:
        """Every model of the server."""
        return decode(await self._session.fetch(_PATH), ModelList)

    async def retrieve(self, model: str) -> Model:
        """One model by its id.

        Raises:
            NotFoundError: the server has no such model.
            ValueError: the id is empty.
        """
        return decode(await self._session.fetch(_model_path(model)), Model)

    async def only_id(self) -> str:
        """The id of the server's only model; the server is asked once.

        Raises:
            QStarClientError: the server has no model or several.
        """
        if self._only_id is None:
            self._only_id = _only_id(await self.list())
        return self._only_id


def _model_path(model: str) -> str:
    """The path of a model, whose id is one segment of it, whatever characters it has."""
    if not model:
        raise ValueError("model must not be empty")
    segment = quote(model, safe="")
    if segment in (".", ".."):
        segment = segment.replace(".", "%2E")  # else they would name the path above
    return f"{_PATH}/{segment}"


def _only_id(models: ModelList) -> str:
    if len(models) != 1:
        names = ", ".join(model.id for model in models) or "none"
        raise QStarClientError(f"pass model=...: the server has {len(models)} models ({names})")
    return models[0].id
