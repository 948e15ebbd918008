/** The manifests of examples/queue-demo/kubernetes, as the commands fill them in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectCompiler, type SpecObject } from '../../config/objects/object-compiler.ts';
import { defaultRegistry } from '../registry.ts';
import { demoObjects, producerJob, DEMO, PART_OF } from './cluster.ts';
import { SOURCES } from './demo-state.ts';

for (const source of SOURCES) {
  test(`${source}: every object is in the namespace, has the demo's label, and the images that are asked for`, () => {
    const options = { image: 'registry.example/dormouse:1', serverImage: 'registry.example/server:1', by: 'keda' };
    const objects = demoObjects({ namespace: 'spikes', source, options });
    for (const { kind, metadata } of objects) {
      assert.equal(metadata.labels?.[PART_OF], DEMO);
      assert.equal(kind === 'Namespace' ? metadata.name : metadata.namespace, 'spikes');
    }
    const text = JSON.stringify(objects);
    assert.doesNotMatch(text, /queue-demo\.svc|"namespace":"queue-demo"/);
    const images = new Set([...text.matchAll(/"image":"([^"]+)"/g)].map(([, image]) => image));
    assert.deepEqual([...images].sort(), source === 'cron' ? [options.image] : [options.image, options.serverImage]);
    const backend = objects.find(({ kind }) => kind === 'Backend') as
      | { spec?: { scale?: { by?: string } } }
      | undefined;
    assert.equal(backend?.spec?.scale?.by, 'keda');
    const compiled = new ObjectCompiler(defaultRegistry()).backend(backend as SpecObject);
    assert.ok('backend' in compiled, JSON.stringify(compiled));
  });
}

test('a job that appends has its flags, and finds the queue by its Service', () => {
  const job = producerJob('spikes', { image: 'x:1' }, ['--count', '7'], 'redis://queue:6379');
  assert.match(
    JSON.stringify(job),
    /"args":\["--count","7"\],"env":\[\{"name":"QUEUE_DEMO_CONNECTION","value":"redis:\/\/queue:6379"/,
  );
});

test('what scales is one of three', () => {
  assert.throws(
    () => demoObjects({ namespace: 'a', source: 'list', options: { by: 'me' } }),
    /--by has to be dormouse, hpa, keda/,
  );
});
