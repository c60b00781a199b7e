"""Rendered scenes: liver scenes to train on, generic ones to pretrain on.

generic_scenes  Procedural scenes for pretraining: layered lit surfaces, tools and bands, and no
                liver.
liver_domain    Where synthetic scenes come from: hospitals that differ in camera, light and
                tissue.
liver_geometry  The shapes of a synthetic laparoscopic scene: curves, depth and landmark lines.
liver_scene     Synthetic laparoscopic scenes: what the camera and a monocular depth estimate
                would show.
"""
