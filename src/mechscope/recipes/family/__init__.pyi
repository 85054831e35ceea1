from .recipes import RECIPES as RECIPES
