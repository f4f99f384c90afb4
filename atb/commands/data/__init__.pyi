from . import prepare as prepare
