from . import superplm as superplm
