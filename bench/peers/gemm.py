"""OpenBLAS through numpy: python3 gemm.py THREADS M,N,K...   prints one JSON line, GFLOP/s of each product."""
import json, os, sys, time
threads, *cases = sys.argv[1:]
for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS'): os.environ[name] = threads
import numpy as np
seconds = float(os.environ.get('BENCH_SECONDS', 0.25))
rows = []
for case in cases:
    m, n, k = map(int, case.split(','))
    a, b, c = (np.random.rand(*s).astype(np.float32) for s in ((m, k), (k, n), (m, n)))
    for _ in range(3): np.dot(a, b, out=c)
    times, began = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        t = time.perf_counter(); np.dot(a, b, out=c); times.append(time.perf_counter() - t)
    times.sort()
    rows.append({'case': f'{m}×{n}×{k}', 'gflops': round(2e-9 * m * n * k / times[len(times) // 2], 1)})
try: blas = open('/proc/self/maps').read()
except OSError: blas = ''
name = 'OpenBLAS' if 'openblas' in blas else 'another BLAS'
print(json.dumps({'peer': 'numpy', 'version': f'numpy {np.__version__} with {name}', 'threads': int(threads), 'rows': rows}))
