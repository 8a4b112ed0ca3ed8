"""What Python's, NumPy's and torch's error messages mean, in a sentence for whoever meets them."""

import re

# What an error's text looks like, and what it means; {0}, {1}, … are its parts in parentheses.
_MEANINGS = (
    (r"'ellipsis'", "Three dots `...` are still there: put something in their place."),
    (r"it returned an object of type coroutine", "`async def` makes one: write `def`."),
    (
        r"it returned an object of type \w*(?:function|method)",
        "It returned a function, not what that function returns: `( )` is missing behind its name.",
    ),
    # --------------------------------------------------------------------- places and shapes
    (
        r"index (-?\d+) is out of bounds for (?:dimension|axis) (\d+) with size (\d+)",
        "Axis {1} has {2} entries, numbered from 0; there is no number {0}.",
    ),
    (r"(?:list|tuple|string) index out of range", "An index goes beyond the last entry."),
    (
        r"too many indices for (?:tensor|array)",
        "There are more indices in the brackets than the array has axes.",
    ),
    (
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)"
        r"|axis (-?\d+) is out of bounds for array of dimension (\d+)",
        "There is no such axis. Axes are numbered from 0: the last of a matrix is axis 1.",
    ),
    (
        r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)",
        "In a matrix product the columns of the left must be as many as the rows of the right: "
        "here {1} and {2}.",
    ),
    (
        r"mismatch in its core dimension|matmul: Input operand|shapes .* not aligned|size mismatch"
        r"|inconsistent tensor size",
        "In a matrix product the last axis of the left must be as long as the first of the right.",
    ),
    (
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\).*dimension (\d+)",
        "Two shapes do not fit together. Axes are compared from the last to the first, and must be "
        "equally long, or one of them 1; here axis {2} has {0} and {1}.",
    ),
    (
        r"could not be broadcast together with shapes (\([\d,]*\)) (\([\d,]*\))",
        "The shapes {0} and {1} do not fit together. Axes are compared from the last to the first, "
        "and must be equally long, or one of them 1.",
    ),
    (
        r"shape '(\[.*?\])' is invalid for input of size (\d+)"
        r"|cannot reshape array of size (\d+) into shape (\([\d,]*\))",
        "reshape keeps all numbers: the product of the new sizes must be their count, {1|2} here.",
    ),
    (
        r"number of dimensions in the tensor input does not match the length of the desired"
        r"|axes don't match array|permute\(sparse_coo\)",
        "permute and transpose must name every axis of the array once.",
    ),
    (
        r"(?:not enough|too many) values to unpack",
        "Left of the `=` stand more or fewer names than there are values on its right.",
    ),
    (
        r"cannot unpack non-iterable (\w+)",
        "Left of the `=` stand several names, but on its right is one {0}.",
    ),
    # ----------------------------------------------------------------------- types of numbers
    (
        r"must have the same dtype|expected scalar type (\w+) but found (\w+)"
        r"|expected m1 and m2 to have",
        "Two tensors hold different types of numbers. x.to(y.dtype) brings x to the type of y.",
    ),
    (
        r"could not infer output dtype|Input dtype must be either a floating|can only (?:calculate|"
        r"be computed)|not implemented for '(?:Long|Int|Byte|Bool)'",
        "This wants floats, and got whole numbers: x.float() makes them floats.",
    ),
    (
        r"Cannot cast ufunc .* from dtype\('(\w+)'\) to dtype\('(\w+)'\)",
        "An operation in place (`+=`, `*=`) cannot put {0} into an array of {1}: `x = x + …` can.",
    ),
    (
        r"only one element tensors can be converted|only length-1 arrays|only 0-dimensional arrays"
        r"|cannot be converted to Scalar|can only convert an array of size 1",
        "An array of several numbers stands where one number is wanted.",
    ),
    (
        r"Boolean value of Tensor with|truth value of an (?:array|empty)",
        "`if`, `and`, `or`, min and max want one truth value, and a comparison of arrays gives "
        "many: torch.where or np.where choose for each entry, .any() and .all() make one of them.",
    ),
    (r"must be Tensor, not ([\w.]+)", "This function of torch wants a tensor, and got a {0}."),
    (
        r"expected np\.ndarray \(got Tensor\)|can't convert (?:cuda|mps)",
        "NumPy and torch are mixed. Inputs come as the exercise says; stay with their kind.",
    ),
    (
        r"unsupported operand type\(s\) for (\S+): '(\w+)' and '(\w+)'",
        "`{0}` stands between a {1} and a {2}, which have no such operation.",
    ),
    (r"can only concatenate|must be str, not", "`+` stands between a text or list and a number."),
    # ------------------------------------------------------------------------------- gradients
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        "NumPy cannot take gradients back, and in training the inputs need them: use the function "
        "of torch in place of NumPy's.",
    ),
    (
        r"leaf Variable that requires grad.* in-place|modified by an inplace operation",
        "An operation in place (`+=`, a name ending in _, an assignment to x[…]) changes a tensor "
        "that the gradient needs. Make a new one: `x = x + …`.",
    ),
    (r"does not require grad", "Gradients are asked for, but no tensor here has any."),
    # ---------------------------------------------------------------------- names and functions
    (
        r"takes (?:\d+|from \d+ to \d+) positional arguments? but \d+ \w+ given",
        "A call has more arguments than the line `def …` has names for. The question calls your "
        "answer with those that its text lists, in that order.",
    ),
    (
        r"missing (\d+) required (?:positional|keyword-only) arguments?: (.*)",
        "A call has fewer arguments than the line `def …` wants: {1} got nothing.",
    ),
    (
        r"\w+\(\) takes no arguments",
        "This class is called like a function: hand over an object of it, or one of its methods.",
    ),
    (r"unexpected keyword argument '(\w+)'", "The function that is called has no argument {0}."),
    (
        r"NameError: name '(\w+)' is not defined",
        "Nothing is called {0}: a typing error, or the cell that makes it has not been run since "
        "the notebook was opened.",
    ),
    (
        r"UnboundLocalError: .*variable '(\w+)'",
        "{0} is used before it gets a value; perhaps it gets one only inside an `if` or a loop.",
    ),
    (
        r"before Module\.__init__\(\) call|no attribute '_(?:modules|parameters|buffers)'",
        "`super().__init__()` must be the first line of `__init__`.",
    ),
    (
        r"'Tensor' object has no attribute '(\w+)'",
        "A tensor has no .{0}; NumPy's names are sometimes other ones: .to(torch.float32) for "
        ".astype, .clone() for .copy(), torch.clip for np.clip.",
    ),
    (
        r"'numpy\.\w+' object has no attribute '(\w+)'",
        "This is NumPy's, and has no .{0}. Look for np.{0}(x); torch's methods are for tensors.",
    ),
    (
        r"'NoneType' object",
        "Something is None that should have a value: a function without `return`, a name that got "
        "the result of an operation in place.",
    ),
    (r"object has no attribute '(\w+)'", "What stands left of the dot has no {0}."),
    (
        r"'(\w+)' object is not callable",
        "A {0} is called like a function: are `( )` written for `[ ]` or `*`, or has a function's "
        "name been given to something else?",
    ),
    (r"'(\w+)' object is not subscriptable", "`[ ]` stands behind a {0}, which has no entries."),
    (r"'(\w+)' object is not iterable", "A {0} stands where several values are wanted."),
    (r"KeyError: ('[^']*'|-?\d+)$", "The dictionary has no entry {0}."),
    # -------------------------------------------------------------------------------- the rest
    (r"ZeroDivisionError", "Something is divided by zero."),
    (
        r"math domain error|expected a (?:positive|nonnegative) input",
        "The logarithm or root of a number that has none: 0, or below.",
    ),
    (r"RecursionError", "The function calls itself again and again: nothing ends it."),
    (
        r"MemoryError|can't allocate memory|Unable to allocate",
        "It wants more memory than there is.",
    ),
    (r"it ends the program", "A function gives its result by `return`, and needs no exit."),
    (
        r"did not finish within",
        "Look for a loop whose end is never reached, or for steps that could be one operation on "
        "the whole array.",
    ),
    (r"AssertionError", "One of your own `assert` lines does not hold."),
    (r"FileNotFoundError", "There is no such file. Answers need none."),
)


def explain(error: str) -> str:
    """What an error means, "" if nothing is known about it; ``error`` is ``"Type: message"``."""
    for pattern, meaning in _MEANINGS:
        found = re.search(pattern, error)
        if found:
            return _insert(meaning, found.groups())
    return ""


def _insert(meaning: str, parts: tuple[str | None, ...]) -> str:
    """{1} is replaced by the second part; {0|2} by the first, or if it is missing, the third."""

    def part(numbers: re.Match) -> str:
        known = (parts[int(number)] for number in numbers[1].split("|"))
        return next((text for text in known if text is not None), "")

    return re.sub(r"\{([\d|]+)\}", part, meaning)
