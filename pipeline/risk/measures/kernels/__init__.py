"""Compiled forms of the measures, for many windows and many series.

The definitions are the numpy functions of ``pipeline.risk.measures``; these kernels give the same numbers to about
1e-12 at a fraction of the time. Two properties hold for each of them:

- A row's bits are a function of its window alone. Running sums of floating-point numbers would remember where they
  began; here sums are of integers (`sums`), and tails are order statistics, so a partition computed again from
  another first session gives identical bytes.
- The plain Python function, named ``…_python`` where there is a compiled one, gives the same bits.

numba compiles a kernel again when its own file changes, not when a file that it calls does: `fintech` therefore keeps
compiled code in a folder named by the whole source (`pipeline.base.compiled_code`). Elsewhere delete ``__pycache__``
after changing `sums`, `exponentials`, `student_t_fit` or another kernel's functions.

Nothing is compiled, and numba is not imported, before a module of this package is: the API starts without it.
"""
