'use strict';

const line = (list, text) => {
  const item = document.createElement('li');
  item.textContent = text;
  list.append(item);
  while (list.children.length > 8) list.firstChild.remove();
};

const ticks = document.getElementById('ticks');
const events = new EventSource('/events');
events.addEventListener('tick', (e) => line(ticks, `tick ${JSON.parse(e.data).n}`));

const echoes = document.getElementById('echoes');
const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
const socket = new WebSocket(`${scheme}//${location.host}/socket`, 'echo');
socket.addEventListener('open', () => line(echoes, `open ${socket.protocol}`));
socket.addEventListener('message', (e) => line(echoes, e.data));
socket.addEventListener('close', () => line(echoes, 'closed'));

document.getElementById('say').addEventListener('submit', (e) => {
  e.preventDefault();
  socket.send(document.getElementById('words').value);
});
