// Keyboard: "/" moves to the search field, arrows move between photos. Enter and Escape work as in any link and dialog.
/* global current, shown, step, togglePick, tools, viewer, visit */
const SIDEWAYS = {ArrowLeft: -1, ArrowRight: 1}, UPWARDS = {ArrowUp: -1, ArrowDown: 1};
const hasOwnKeys = element => element.matches("input:not([type=checkbox]), select");

const reachable = () => shown.filter(card => card.closest("details")?.open ?? true);

function go(card) {
  if (!card) return;
  visit(card);
  card.querySelector("h3 a").focus({preventScroll: true});
  card.scrollIntoView({block: "nearest"});
}

// The card of the next row, up or down, that is horizontally nearest to the current one.
function across(list, from, by) {
  const here = list[from].getBoundingClientRect();
  let row = null, best = null, least = Infinity;
  for (let n = from + by; list[n]; n += by) {
    const box = list[n].getBoundingClientRect();
    if (row === null && (by > 0 ? box.top < here.bottom - 1 : box.bottom > here.top + 1)) continue;
    row ??= box.top;
    if (Math.abs(box.top - row) > here.height / 2) break;
    const distance = Math.abs(box.left - here.left);
    if (distance < least) [least, best] = [distance, list[n]];
  }
  return best;
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || hasOwnKeys(event.target)) return;
  const sideways = SIDEWAYS[event.key], upwards = UPWARDS[event.key];
  if (viewer.open) {
    if (sideways) step(sideways);
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    tools.elements.text.focus();
    tools.elements.text.select();
  }
  if (event.key === "x" && document.activeElement.closest("article")) togglePick(document.activeElement.closest("article"));
  if (!sideways && !upwards) return;
  const list = reachable(), from = list.indexOf(document.activeElement.closest("article"));
  if (!list.length || (from < 0 && document.activeElement !== document.body)) return;
  event.preventDefault();
  if (from < 0) go(list.includes(current) ? current : list[0]);
  else go(sideways ? list[from + sideways] : across(list, from, upwards));
});
