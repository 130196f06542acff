"use strict";
document.documentElement.classList.add("scripted");
// Between photograph and render: the photograph lies over the render, cut off at the slider.
for (const cell of document.querySelectorAll("td.render")) {
  const render = cell.querySelector("img");
  const rows = cell.closest("tbody");
  const photograph = cell.parentElement.querySelector("td.photograph img")
    || rows.querySelector("td.photograph img");
  if (!render || !photograph) continue;

  const box = document.createElement("div");
  box.className = "compare";
  const over = document.createElement("img");
  over.className = "over";
  over.src = photograph.src;
  over.alt = "";
  const divider = document.createElement("span");
  divider.className = "divider";
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = "0";
  slider.max = "100";
  slider.value = "50";
  slider.step = "0.5";
  slider.setAttribute("aria-label", "photograph on the left, render on the right");
  slider.addEventListener("input", () => box.style.setProperty("--at", slider.value + "%"));

  render.replaceWith(box);
  box.append(render, over, divider, slider);
}
