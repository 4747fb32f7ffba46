// The article's program with the flattening it prints, 16·5·5, which is wrong for 28×28 images: it must fail.
// With batches of 64 the reshape itself fails; with `--batch-size 25` it succeeds and mixes the images, and
// cross entropy sees that there are fewer rows than labels. The error goes to standard error, exit code 1.
// `npm run example -- article-as-printed [--batch-size 25]`
import { manualSeed, type Tensor } from 'burnish'
import * as nn from 'burnish/nn'
import { options, run } from './article.js'

class CNNModel extends nn.Module {
  conv1 = new nn.Conv2d(1, 6, 5)
  pool = new nn.MaxPool2d(2, { stride: 2 })
  conv2 = new nn.Conv2d(6, 16, 5)
  fc1 = new nn.Linear(16 * 5 * 5, 120)
  fc2 = new nn.Linear(120, 84)
  fc3 = new nn.Linear(84, 10)

  forward(images: Tensor): Tensor {
    let x = this.pool.forward(nn.relu(this.conv1.forward(images))) // [B, 6, 12, 12]
    x = this.pool.forward(nn.relu(this.conv2.forward(x))) // [B, 16, 4, 4]
    x = x.reshape(-1, 16 * 5 * 5)
    x = nn.relu(this.fc1.forward(x))
    x = nn.relu(this.fc2.forward(x))
    return this.fc3.forward(x)
  }
}

manualSeed(1)
try {
  await run(new CNNModel(), options())
} catch (error) {
  if (!(error instanceof Error)) throw error
  console.error(error.message)
  process.exitCode = 1
}
