"""The classic module `tools.analysis.direct_path_patching`: patch paths from head to head."""

from mechscope.patching.head_to_head import get_act_patch_direct_path, get_act_patch_direct_path_all_sources

__all__ = ["get_act_patch_direct_path", "get_act_patch_direct_path_all_sources"]
