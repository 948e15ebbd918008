/** docs/grafana-dashboard.json without a Prometheus; test/services asks one. */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const docs = join(import.meta.dirname, '../../docs');

interface Panel {
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string }[];
}

const { panels } = JSON.parse(readFileSync(join(docs, 'grafana-dashboard.json'), 'utf8')) as { panels: Panel[] };

describe('docs/grafana-dashboard.json', () => {
  it('shows every metric of docs/metrics.md', () => {
    const documented = [
      ...readFileSync(join(docs, 'metrics.md'), 'utf8').matchAll(/^\| `(dormouse_[a-z0-9_]+)` \|/gm),
    ].map((match) => match[1]!);
    const shown = new Set(
      panels
        .flatMap(({ targets = [] }) => targets)
        .flatMap(({ expr }) => [...expr.matchAll(/dormouse_[a-z0-9_]+?(?=(?:_bucket)?[^a-z0-9_])/g)].map(String)),
    );
    assert.ok(documented.length > 50);
    assert.deepEqual(
      documented.filter((name) => !shown.has(name)),
      [],
    );
  });

  it('has panels side by side that do not overlap', () => {
    const cells = new Set<string>();
    for (const { title, gridPos } of panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        assert.ok(x < 24, title);
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(!cells.has(`${x} ${y}`), title);
          cells.add(`${x} ${y}`);
        }
      }
    }
  });
});
