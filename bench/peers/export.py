"""Writes the workloads as ONNX files, in evaluation mode: python3 export.py SCRIPT FOLDER WORKLOAD...
SCRIPT is the peer's benchmark, whose definitions are used; torch writes the files itself, without the package onnx."""
import os, sys, warnings
warnings.filterwarnings('ignore')
script, folder, *names = sys.argv[1:]
scope = {'__name__': 'definitions'}
exec(compile(open(script).read().split('args=sys.argv')[0], script, 'exec'), scope)
torch = scope['torch']

class AdaptivePool(torch.nn.Module):
    """Adaptive average pooling of one size as two products: ONNX has none whose output is larger than its input."""
    def __init__(s, size, out):
        super().__init__()
        m = torch.zeros(out, size)
        for i in range(out):
            low, high = i * size // out, -(-(i + 1) * size // out)
            m[i, low:high] = 1 / (high - low)
        s.register_buffer('m', m)
    def forward(s, x): return s.m @ x @ s.m.t()

os.makedirs(folder, exist_ok=True)
for name in names:
    path = os.path.join(folder, name + '.onnx')
    torch.manual_seed(0)
    model, x, _ = scope['work'](name)
    if name.startswith('vgg'):
        pool = AdaptivePool(x.shape[2] // 32, 7)
        features = torch.rand(1, 1, x.shape[2] // 32, x.shape[3] // 32)
        assert torch.allclose(pool(features), model.avgpool(features), atol=1e-6)
        model.avgpool = pool
    torch.onnx.export(model.eval(), x, path + '.part', input_names=['x'], output_names=['y'], opset_version=14)
    os.replace(path + '.part', path)
