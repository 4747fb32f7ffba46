"""Writes the workloads as ONNX files, in evaluation mode: python3 export.py SCRIPT FOLDER WORKLOAD...
SCRIPT is the peer's benchmark, whose definitions are used; torch writes the files itself, without the package onnx."""
import os, sys, warnings
warnings.filterwarnings('ignore')
script, folder, *names = sys.argv[1:]
scope = {'__name__': 'definitions'}
exec(compile(open(script).read().split('args=sys.argv')[0], script, 'exec'), scope)
torch = scope['torch']
os.makedirs(folder, exist_ok=True)
for name in names:
    path = os.path.join(folder, name + '.onnx')
    torch.manual_seed(0)
    model, x, _ = scope['work'](name)
    torch.onnx.export(model.eval(), x, path + '.part', input_names=['x'], output_names=['y'], opset_version=14)
    os.replace(path + '.part', path)
