from .config import SuperpositionConfig as SuperpositionConfig
from .experiment import LAB as LAB
