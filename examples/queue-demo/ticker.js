// Works while the clock says so: a line a second, until SIGTERM.
const ticking = setInterval(() => console.log(`${new Date().toISOString()} at work`), 1000);
process.on('SIGTERM', () => {
  clearInterval(ticking);
  console.log('enough for now');
});
