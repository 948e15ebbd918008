import { strict as assert } from 'node:assert';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { startBrowser } from './browser.ts';
import { startExample } from './example.ts';

it('a browser sees a waiting page while the slow application starts, and then the application, without touching anything', async () => {
  await using example = await startExample();
  await using browser = await startBrowser();
  await browser.goto(`${example.url}/slow`);
  await browser.until(
    `document.body.innerText.length > 0 && !document.body.innerText.includes('Here at last')`,
    10_000,
  );
  const picture = join(example.stateDir, 'waiting-page.png');
  await browser.screenshot(picture);
  assert.ok(statSync(picture).size > 1000);
  await browser.until(`document.body.innerText.includes('Here at last')`, 30_000);
});

it('the page of the example asks the API, which is woken for it and answers from its database', async () => {
  await using example = await startExample();
  await using browser = await startBrowser();
  await browser.goto(example.url);
  await browser.until(`document.title === 'A page that was asleep' && document.readyState === 'complete'`, 30_000);
  await browser.evaluate(`document.getElementById('user').click()`);
  await browser.until(`document.getElementById('answer').textContent.includes('user123@example.org')`, 30_000);
  const answer = String(await browser.evaluate(`document.getElementById('answer').textContent`));
  assert.match(answer, /GET \/api\/users\/123: 200/);
  assert.match(answer, /it was asleep and was woken for this/);
  assert.match(answer, /db;dur=/);
});
