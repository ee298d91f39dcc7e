// On the front page the key "/" leads to the search.
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && event.target === document.body) location.assign('/search');
});
document.documentElement.dataset.keys = 'ready';
