from .methods import METHODS as METHODS, make_method as make_method
