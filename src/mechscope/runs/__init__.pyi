from .key import RunKey as RunKey
from .source_digest import source_digests as source_digests
from .store import Store as Store
from .workspace import Workspace as Workspace
