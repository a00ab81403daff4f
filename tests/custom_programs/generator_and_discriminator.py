"""Two models trained against each other, with two tapes."""

import keras
import tensorflow as tf


def data(rng):
    real = rng.standard_normal((96, 4)).astype("float32") * 0.5 + 1
    return real, rng.standard_normal((96, 3)).astype("float32")


def make():
    generator = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(4)]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8),
            keras.layers.LeakyReLU(0.2),
            keras.layers.Dense(1),
        ]
    )
    return generator, discriminator


def train(models, real, noise):
    generator, discriminator = models
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    generator_optimizer = keras.optimizers.Adam(0.005, epsilon=1e-4)
    discriminator_optimizer = keras.optimizers.Adam(0.005, epsilon=1e-4)
    losses = []
    for step in range(18):
        rows = slice(16 * (step % 6), 16 * (step % 6) + 16)
        with tf.GradientTape() as gen_tape, tf.GradientTape() as disc_tape:
            fake = generator(noise[rows], training=True)
            real_output = discriminator(real[rows], training=True)
            fake_output = discriminator(fake, training=True)
            gen_loss = cross_entropy(tf.ones_like(fake_output), fake_output)
            real_loss = cross_entropy(tf.ones_like(real_output), real_output)
            disc_loss = real_loss + cross_entropy(tf.zeros_like(fake_output), fake_output)
        gen_grads = gen_tape.gradient(gen_loss, generator.trainable_variables)
        disc_grads = disc_tape.gradient(disc_loss, discriminator.trainable_variables)
        generator_optimizer.apply_gradients(zip(gen_grads, generator.trainable_variables))
        discriminator_optimizer.apply_gradients(zip(disc_grads, discriminator.trainable_variables))
        losses += [float(gen_loss), float(disc_loss)]
    return losses
