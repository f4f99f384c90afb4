from . import profile as profile
