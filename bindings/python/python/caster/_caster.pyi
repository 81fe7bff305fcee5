from dataclasses import dataclass
from typing import (
    Any,
    ClassVar,
    Dict,
    List,
    Literal,
    Optional,
    Sequence,
    Tuple,
    Union,
    final,
)

from .errors import Error

__version__: str

def generate_key() -> bytes: ...

_Payload = Union[str, bytes]
_Given = Union[_Payload, List[_Payload]]

@final
@dataclass(frozen=True)
class PeerAddress:
    address: str
    interface: Optional[str]
    last_seen: int

@final
@dataclass(frozen=True)
class Peer:
    id: str
    address: str
    first_seen: int
    last_seen: int
    meta: Any = None
    suspect: bool = False
    loss: float = 0.0
    addresses: Tuple[PeerAddress, ...] = ()

@final
@dataclass(frozen=True)
class Remote:
    address: str
    port: int
    family: str
    size: int

@final
@dataclass(frozen=True)
class Up:
    name: ClassVar[Literal["up"]]
    node: Peer

@final
@dataclass(frozen=True)
class Update:
    name: ClassVar[Literal["update"]]
    node: Peer
    changed: Tuple[str, ...]

@final
@dataclass(frozen=True)
class Down:
    name: ClassVar[Literal["down"]]
    node: Peer
    reason: Literal["goodbye", "timeout", "restart"]

@final
@dataclass(frozen=True)
class Conflict:
    name: ClassVar[Literal["conflict"]]
    id: str
    address: str

@final
@dataclass(frozen=True)
class Isolated:
    name: ClassVar[Literal["isolated"]]

@final
@dataclass(frozen=True)
class Rejoined:
    name: ClassVar[Literal["rejoined"]]

@final
@dataclass(frozen=True)
class Settled:
    name: ClassVar[Literal["settled"]]

@final
@dataclass(frozen=True)
class Hint:
    name: ClassVar[Literal["hint"]]
    text: str

@final
@dataclass(frozen=True)
class Message:
    name: ClassVar[Literal["message"]]
    message: Any
    node: Peer
    sealed: bool = False
    fresh: bool = False

@final
@dataclass(frozen=True)
class Datagram:
    name: ClassVar[Literal["message"]]
    message: Any
    remote: Remote

@final
@dataclass(frozen=True)
class ErrorEvent:
    name: ClassVar[Literal["error"]]
    error: Error

@final
class Stage:
    @staticmethod
    def json() -> Stage: ...
    @staticmethod
    def hash(
        secret: Union[str, bytes, None], algorithm: Optional[str], era: Optional[str]
    ) -> Stage: ...
    @staticmethod
    def crypto(key: Union[str, bytes, None], algorithm: Optional[str]) -> Stage: ...
    @property
    def name(self) -> str: ...

@final
class Transit:
    @property
    def token(self) -> int: ...
    @property
    def outgoing(self) -> bool: ...
    @property
    def message(self) -> _Payload: ...
    @property
    def remote(self) -> Optional[Remote]: ...

@final
class Network:
    def __new__(cls, seed: int) -> Network: ...
    def advance(self, time: float) -> None: ...
    @property
    def now(self) -> float: ...
    def set_loss(self, loss: float) -> None: ...
    def set_duplicates(self, duplicates: float) -> None: ...
    def set_delay(self, most: float) -> None: ...
    def unplug(self, id: str) -> None: ...
    def plug(self, id: str) -> None: ...

@final
class Handle:
    @staticmethod
    def node(options: Dict[str, _Given], network: Optional[Network] = None) -> Handle: ...
    @staticmethod
    def caster(options: Dict[str, _Given], network: Optional[Network] = None) -> Handle: ...
    def check(self) -> None: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    @property
    def is_open(self) -> bool: ...
    def check_up(self) -> None: ...
    def check_open(self) -> None: ...
    def send(self, message: _Payload) -> Union[int, Transit]: ...
    def send_batch(self, messages: Sequence[_Payload]) -> int: ...
    def resume(self, transit: Transit, message: _Payload) -> Union[int, Transit]: ...
    def fail(self, transit: Transit, why: str) -> None: ...
    def use_stage(self, stage: Stage) -> None: ...
    def use_host_stage(self, name: str, token: int, tx: bool, rx: bool) -> None: ...
    @property
    def stage_names(self) -> List[str]: ...
    def take(
        self,
        limit: int,
        timeout: Optional[float],
        advance: bool = True,
        interrupts: Optional[int] = None,
    ) -> Optional[List[Any]]: ...
    def take_transits(
        self, limit: int, timeout: Optional[float], interrupts: Optional[int] = None
    ) -> Optional[List[Transit]]: ...
    @property
    def interrupts(self) -> int: ...
    def interrupt(self) -> None: ...
    def wake_fileno(self) -> int: ...
    def clear_wake(self) -> None: ...
    def start_close(self) -> None: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def waiting(self) -> int: ...
    def fileno(self) -> int: ...
    def stats_json(self) -> str: ...
    @property
    def multicast(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def id_json(self) -> str: ...
    @property
    def meta_json(self) -> str: ...
    def add_key(self, key: Union[str, bytes]) -> None: ...
    def use_key(self, key: Union[str, bytes]) -> None: ...
    def remove_key(self, key: Union[str, bytes], now: bool) -> None: ...
    def key_of(self, id: str) -> Optional[str]: ...
    def forget_sealed(self, id: str) -> bool: ...
    def key_ids(self) -> List[str]: ...
    def set_meta(self, json: str) -> None: ...
    def update_meta(self, json: str) -> None: ...
    @property
    def heartbeat(self) -> int: ...
    @property
    def timeout(self) -> int: ...
    @property
    def expose(self) -> bool: ...
    def nodes(self) -> Dict[str, Peer]: ...
    @property
    def node_count(self) -> int: ...
    def peer(self, id: str) -> Optional[Peer]: ...
    def find(self, wanted: Sequence[Tuple[str, Optional[str]]]) -> List[Peer]: ...

def end(seconds: float) -> None: ...
def option_table() -> List[Tuple[str, bool, str]]: ...
def fault(text: str) -> None: ...
def log_start(level: int) -> None: ...
def log_after_fork() -> None: ...
def log_take(wait: bool) -> List[Tuple[int, str]]: ...
def log_fileno() -> int: ...
