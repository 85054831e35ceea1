from .dictionary_learning import load_dictionary_learning as load_dictionary_learning
from .gemma_scope import load_gemma_scope as load_gemma_scope
from .load_dictionary import load_dictionary as load_dictionary
from .saelens import load_saelens as load_saelens
from .saelens import saelens_densities as saelens_densities
from .saelens_saving import save_saelens as save_saelens
from .sparsify import load_sparsify as load_sparsify
