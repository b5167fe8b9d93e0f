// Adds a slider and a button to drawings with passes, so that a reader can go through them one by
// one. Without this script the drawing shows all passes. Nothing moves before the reader asks.

function addSteps(drawing) {
  const last = Number(drawing.dataset.passes) - 1;
  const parts = [...drawing.querySelectorAll("[data-pass]")];
  const list = drawing.closest("article")?.querySelector("ol");
  const notes = list ? [...list.children] : [];

  const steps = document.createElement("div");
  steps.className = "steps";
  const button = document.createElement("button");
  button.type = "button";
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: last, value: last });
  slider.setAttribute("aria-label", "Pass");
  const name = document.createElement("output");
  steps.append(button, slider, name);
  drawing.parentElement.after(steps);

  let timer = 0;
  function show(pass) {
    slider.value = pass;
    name.textContent = `pass ${pass + 1} of ${last + 1}`;
    slider.setAttribute("aria-valuetext", name.textContent);
    for (const part of parts) part.classList.toggle("later", Number(part.dataset.pass) > pass);
    notes.forEach((note, index) => note.classList.toggle("now", index === pass));
  }
  // On a phone the drawing is wider than the screen: it scrolls along with its passes.
  function go(pass) {
    show(pass);
    const box = drawing.parentElement;
    box.scrollLeft = ((box.scrollWidth - box.clientWidth) * pass) / last;
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  }
  function play() {
    if (Number(slider.value) === last) go(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      go(Number(slider.value) + 1);
      if (Number(slider.value) === last) stop();
    }, 1200);
  }

  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value));
  });
  button.addEventListener("click", () => (timer ? stop() : play()));
  // Who asks for less motion steps by hand.
  button.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
  stop();
  show(last);
}

for (const drawing of document.querySelectorAll("svg[data-passes]")) addSteps(drawing);
