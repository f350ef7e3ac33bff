"""Every public name says what it does, in one form: NumPy's sections, units, errors, the specification."""

import inspect
import re

import nvme as d
import pytest

MODULE = d._nvme


def is_ours(value):
    """Whether something was made here and not imported for scripts' sake."""
    return getattr(value, "__module__", None) in ("nvme", "nvme._nvme", "builtins")


CLASSES = {name: value for name, value in vars(MODULE).items() if isinstance(value, type) and is_ours(value)}
FUNCTIONS = {
    name: value
    for name, value in [*vars(MODULE).items(), ("srand", d.srand)]
    # The protocol layer describes PDUs and their fields, not commands: nvme.wire has a form of its own.
    if callable(value) and name not in CLASSES and getattr(value, "__module__", "") != "nvme.wire"
}
MEMBERS = {
    f"{owner}.{name}": getattr(value, "__func__", value)
    for owner, cls in CLASSES.items()
    for name, value in vars(cls).items()
    if not name.startswith("_") and not issubclass(cls, Exception)
}
# What only functions make.
MADE = ("_IOWorker", "Decoded", "DiscoveryEntry", "Field")
CALLABLES = {
    **FUNCTIONS,
    **{name: value for name, value in MEMBERS.items() if callable(value)},
    # The constructor is described where the class is.
    **{name: cls for name, cls in CLASSES.items() if not issubclass(cls, Exception) and name not in MADE},
}

SECTION = re.compile(r"^(\w[\w ]*)\n-+$", re.MULTILINE)
# In the order of the NumPy style.
SECTIONS = ["Parameters", "Returns", "Raises", "Notes", "Examples"]


def described(doc):
    """The names in the section Parameters."""
    body = doc.split("Parameters\n----------\n", 1)
    if len(body) == 1:
        return []
    body = SECTION.split(body[1])[0]
    heads = re.findall(r"^(\S[^:\n]*) : (.+)$", body, re.MULTILINE)
    return [name.strip() for names, _ in heads for name in names.split(",")]


def test_there_is_what_to_look_at():
    assert {"Buffer", "Pcie", "Tcp", "Controller", "Qpair", "Namespace", "Subsystem"} <= CLASSES.keys()
    assert len(MEMBERS) > 80 and {"Controller.identify", "Qpair.sqid", "Namespace.read"} <= MEMBERS.keys()


@pytest.mark.parametrize("name", sorted({**CLASSES, **FUNCTIONS, **MEMBERS}))
def test_it_says_what_it_does(name):
    doc = inspect.cleandoc({**CLASSES, **FUNCTIONS, **MEMBERS}[name].__doc__ or "")
    summary = doc.split("\n\n", 1)[0]
    assert len(summary) > 10 and summary.endswith((".", ")", ":")) and summary[0].isupper(), summary
    order = [SECTIONS.index(section) for section in SECTION.findall(doc)]
    assert order == sorted(set(order)), f"sections out of order in {name}"
    assert all(len(line) <= 110 for line in doc.splitlines())


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_it_describes_every_parameter(name):
    function = CALLABLES[name]
    parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "_exception")]
    assert described(inspect.cleandoc(function.__doc__)) == parameters


# What sends a command or touches a register, and what stands for a field of the specification.
SPECIFIED = [
    "Buffer.phys_addr",
    "Buffer.set_dsm_range",
    "Controller.cap",
    "Controller.mdts",
    "Controller.reset",
    "Namespace.capacity",
    "Namespace.format",
    "Namespace.get_lba_format",
    "Pcie.aspm",
    "Pcie.cap_offset",
    "Pcie.flr",
    "Pcie.power_state",
    "Pcie.reset",
    "Qpair.delete",
]


@pytest.mark.parametrize(
    "name",
    SPECIFIED
    + sorted(
        name
        for name, function in MEMBERS.items()
        if callable(function) and "cb" in inspect.signature(function).parameters
    ),
)
def test_it_names_its_specification(name):
    assert re.search(r"Specification, [A-Z]", " ".join(MEMBERS[name].__doc__.split()))


NOTHING = [
    "Buffer.set_dsm_range",
    "Controller.cmdlog",
    "Controller.downfw",
    "Controller.init_queues",
    "Controller.reset",
    "Namespace.close",
    "Pcie.close",
    "Qpair.close",
    "Qpair.cmdlog",
    "Qpair.delete",
    "Qpair.msix_clear",
    "Qpair.msix_mask",
    "Qpair.msix_unmask",
    "Subsystem.shutdown_notify",
    "Target.stop",
]


@pytest.mark.parametrize("name", sorted(name for name in CALLABLES.keys() & MEMBERS.keys()))
def test_it_says_what_it_returns(name):
    assert ("Returns\n" in MEMBERS[name].__doc__) == (name not in NOTHING)


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_defaults_are_shown(name):
    defaults = [p.default for p in inspect.signature(CALLABLES[name]).parameters.values()]
    assert ... not in defaults
