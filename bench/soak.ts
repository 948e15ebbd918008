/** `npm run soak -- [--duration=SECONDS] [--write]`: short for `npm run bench -- soak`. */
process.argv.splice(2, 0, 'soak');
await import('./run.ts');
